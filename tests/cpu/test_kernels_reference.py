"""Each operation's reference against an independent formula in float64.

A formula below works in any dtype. In float64 it is the truth; in the operation's own dtype it is
what plain torch operations make of it, and the reference's error may be at most twice that one's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels import (
    Segments,
    attention,
    flow_step,
    group_norm_silu,
    linear,
    qk_norm_rope,
    residual_norm,
    residual_norm_modulate,
    rms_norm_modulate,
    swiglu,
    to_pixels,
)

CPU = torch.device("cpu")
EPS = 1e-5
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
LENGTHS = pytest.mark.parametrize("lengths", [(37,), (16, 16, 16), (1, 33, 8, 5)], ids=str)


@DTYPES
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear(dtype: torch.dtype, with_bias: bool) -> None:
    x, weight, bias = _draw(dtype, (37, 45), (19, 45), (19,))
    inputs = (x, weight, bias) if with_bias else (x, weight)
    _check(linear, lambda x, w, b=None: x @ w.mT + (0 if b is None else b), *inputs)


@DTYPES
@pytest.mark.parametrize("width", [16, 45])
def test_rms_norm(dtype: torch.dtype, width: int) -> None:
    x, weight = _draw(dtype, (37, width), (width,))
    _check(lambda x, w: rms_norm_modulate(x, w, EPS), _rms, 3 * x, weight)


@DTYPES
@LENGTHS
def test_rms_norm_modulate(dtype: torch.dtype, lengths: tuple[int, ...]) -> None:
    index = _index(lengths)
    x, weight = _draw(dtype, (len(index), 45), (45,))
    (scale,) = _draw(torch.float32, (len(lengths), 45))
    _check(
        lambda x, w, s: rms_norm_modulate(x, w, EPS, s, index),
        lambda x, w, s: _rms(x, w) * s.to(x.dtype)[index],
        x,
        weight,
        scale,
    )


def test_a_tiny_token_is_normalised_with_eps() -> None:
    x, weight = _draw(torch.float32, (5, 45), (45,))
    _check(lambda x, w: rms_norm_modulate(x, w, EPS), _rms, 1e-3 * x, weight)


@DTYPES
@LENGTHS
def test_residual_norm(dtype: torch.dtype, lengths: tuple[int, ...]) -> None:
    index = _index(lengths)
    x, branch, weight = _draw(dtype, (len(index), 45), (len(index), 45), (45,))
    (gate,) = _draw(torch.float32, (len(lengths), 45))
    before = x.clone()
    _check(
        lambda x, b, w, g: residual_norm(x, b, w, EPS, g, index),
        lambda x, b, w, g: x + g.to(x.dtype)[index] * _rms(b, w),
        x,
        branch,
        weight,
        gate,
    )
    assert torch.equal(x, before)


@DTYPES
def test_residual_norm_without_gate(dtype: torch.dtype) -> None:
    x, branch, weight = _draw(dtype, (37, 45), (37, 45), (45,))
    _check(
        lambda x, b, w: residual_norm(x, b, w, EPS),
        lambda x, b, w: x + _rms(b, w),
        x,
        branch,
        weight,
    )


@DTYPES
@LENGTHS
def test_residual_norm_modulate(dtype: torch.dtype, lengths: tuple[int, ...]) -> None:
    index = _index(lengths)
    x, branch, post, pre = _draw(dtype, (len(index), 45), (len(index), 45), (45,), (45,))
    gate, scale = _draw(torch.float32, (len(lengths), 45), (len(lengths), 45))

    def formula(
        x: Tensor, b: Tensor, post: Tensor, pre: Tensor, g: Tensor, s: Tensor
    ) -> tuple[Tensor, Tensor]:
        x = x + g.to(x.dtype)[index] * _rms(b, post)
        return x, _rms(x, pre) * s.to(x.dtype)[index]

    for output in (0, 1):
        _check(
            lambda x, b, v, w, g, s, i=output: residual_norm_modulate(x, b, v, w, EPS, g, s, index)[
                i
            ],
            lambda *inputs, i=output: formula(*inputs)[i],
            *(x, branch, post, pre, gate, scale),
        )


@DTYPES
@pytest.mark.parametrize("interleaved", [True, False], ids=["pairs", "halves"])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(3, 3), (6, 2)])
def test_qk_norm_rope(
    dtype: torch.dtype, interleaved: bool, num_heads: int, num_kv_heads: int
) -> None:
    head_dim, num_tokens = 12, 37
    rows = (num_heads + 2 * num_kv_heads) * head_dim
    qkv, q_weight, k_weight = _draw(dtype, (num_tokens, rows), (head_dim,), (head_dim,))
    (angles,) = _draw(torch.float32, (num_tokens, head_dim // 2))
    angles = 9 * angles

    def formula(qkv: Tensor, wq: Tensor, wk: Tensor, cos: Tensor, sin: Tensor) -> Sequence[Tensor]:
        heads = qkv.reshape(num_tokens, -1, head_dim)
        q, k = heads[:, :num_heads], heads[:, num_heads : num_heads + num_kv_heads]
        turn = torch.complex(cos, sin)
        v = heads[:, num_heads + num_kv_heads :]
        return _turn(_rms(q, wq), turn, interleaved), _turn(_rms(k, wk), turn, interleaved), v

    def operation(*inputs: Tensor) -> Sequence[Tensor]:
        return qk_norm_rope(*inputs, EPS, num_heads, num_kv_heads, interleaved)

    inputs = (qkv, q_weight, k_weight, angles.cos(), angles.sin())
    for output in (0, 1):
        _check(lambda *x, i=output: operation(*x)[i], lambda *x, i=output: formula(*x)[i], *inputs)
    assert torch.equal(operation(*inputs)[2], formula(*inputs)[2])


@DTYPES
def test_swiglu(dtype: torch.dtype) -> None:
    (x,) = _draw(dtype, (37, 2 * 45))
    before = x.clone()
    _check(swiglu, lambda x: x[:, :45] * x[:, :45].sigmoid() * x[:, 45:], 3 * x)
    swiglu(x)
    assert torch.equal(x, before)


@DTYPES
@LENGTHS
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "full"])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(3, 3), (6, 2)])
def test_attention(
    dtype: torch.dtype,
    lengths: tuple[int, ...],
    causal: bool,
    num_heads: int,
    num_kv_heads: int,
) -> None:
    segments = Segments.of(lengths, CPU)
    num_tokens = sum(lengths)
    kv_shape = (num_tokens, num_kv_heads, 12)
    q, k, v = _draw(dtype, (num_tokens, num_heads, 12), kv_shape, kv_shape)
    mask = torch.block_diag(*(torch.ones(length, length) for length in lengths)).bool()
    mask = mask.tril() if causal else mask

    def formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        groups = num_heads // num_kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = torch.einsum("qhd,khd->hqk", q, k) / 12**0.5
        p = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return torch.einsum("hqk,khd->qhd", p, v).flatten(1)

    _check(lambda q, k, v: attention(q, k, v, segments, causal), formula, q, k, v)


@DTYPES
@pytest.mark.parametrize("silu", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_group_norm_silu(dtype: torch.dtype, silu: bool, layout: torch.memory_format) -> None:
    x, weight, bias = _draw(dtype, (2, 12, 5, 7), (12,), (12,))
    x = (2 * x + 1).contiguous(memory_format=layout)

    def formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        groups = x.reshape(2, 4, -1)
        variance, mean = torch.var_mean(groups, -1, correction=0, keepdim=True)
        y = ((groups - mean) * torch.rsqrt(variance + EPS)).reshape(x.shape)
        y = y * weight[:, None, None] + bias[:, None, None]
        return y * y.sigmoid() if silu else y

    _check(lambda x, w, b: group_norm_silu(x, w, b, 4, EPS, silu), formula, x, weight, bias)


def test_bfloat16_is_computed_in_float32_and_rounded_once() -> None:
    x, branch, weight, qkv = _draw(torch.bfloat16, (37, 12), (37, 12), (12,), (37, 5 * 12))
    (rows,) = _draw(torch.float32, (37, 12))
    cos, sin = rows[:, :6].cos(), rows[:, :6].sin()
    index = torch.arange(37)
    operations: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = [
        (lambda x, w: rms_norm_modulate(x, w, EPS, rows, index), (x, weight)),
        (lambda x, b, w: residual_norm(x, b, w, EPS, rows, index), (x, branch, weight)),
        (lambda x, w: qk_norm_rope(x, w, w, cos, sin, EPS, 3, 1, True)[0], (qkv, weight)),
        (lambda x, w: qk_norm_rope(x, w, w, cos, sin, EPS, 3, 1, False)[1], (qkv, weight)),
        (swiglu, (qkv,)),
    ]
    for operation, inputs in operations:
        wide = operation(*(value.float() for value in inputs))
        assert torch.equal(operation(*inputs), wide.bfloat16())


@pytest.mark.parametrize("guidance", [0.0, 4.0])
@pytest.mark.parametrize("rescale", [0.0, 0.7, 1.0, 100.0])
def test_flow_step_with_guidance(guidance: float, rescale: float) -> None:
    x, pos, neg = _draw(torch.float32, (37, 12), (37, 12), (37, 12))

    def formula(x: Tensor, pos: Tensor, neg: Tensor) -> Tensor:
        guided = pos + guidance * (pos - neg)
        if rescale and guided.norm() > rescale * pos.norm():
            guided = guided * (rescale * pos.norm() / guided.norm())
        return x + (0.75 - 0.9) * -guided

    _check(lambda x, p, n: flow_step(x, p, n, 0.9, 0.75, guidance, rescale), formula, x, pos, neg)


def test_flow_step_without_guidance() -> None:
    x, pos = _draw(torch.float32, (37, 12), (37, 12))
    _check(lambda x, p: flow_step(x, p, None, 0.3, 0.0, 4.0, 1.0), lambda x, p: x + 0.3 * p, x, pos)


def test_flow_step_reads_bfloat16_outputs_exactly() -> None:
    (x,) = _draw(torch.float32, (37, 12))
    pos, neg = _draw(torch.bfloat16, (37, 12), (37, 12))
    wide = flow_step(x, pos.float(), neg.float(), 0.9, 0.75, 4.0, 1.0)
    assert torch.equal(flow_step(x, pos, neg, 0.9, 0.75, 4.0, 1.0), wide)


def test_flow_step_leaves_a_latent_alone_when_the_model_predicts_zero() -> None:
    (x,) = _draw(torch.float32, (37, 12))
    zero = torch.zeros_like(x)
    assert torch.equal(flow_step(x, zero, zero, 0.9, 0.75, 4.0, 1.0), x)


@DTYPES
def test_to_pixels_is_exact(dtype: torch.dtype) -> None:
    x = torch.linspace(-1.3, 1.3, 3 * 5 * 77).reshape(3, 5, 77).to(dtype)
    exact = [
        [[round(255 * min(max(value / 2 + 0.5, 0.0), 1.0)) for value in pixel] for pixel in row]
        for row in x.double().permute(1, 2, 0).tolist()
    ]
    pixels = to_pixels(x)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    assert pixels.tolist() == exact


def test_segments_agree_on_host_and_device() -> None:
    segments = Segments.of((2, 1, 3), CPU)
    assert segments.bounds == (0, 2, 3, 6)
    assert segments.lengths == (2, 1, 3)
    assert segments.index.tolist() == [0, 0, 1, 2, 2, 2]
    assert segments.cu_seqlens.tolist() == [0, 2, 3, 6]
    assert segments.cu_seqlens.dtype == torch.int32
    assert segments.uniform_length is None
    assert Segments.of((4, 4), CPU).uniform_length == 4
    assert Segments.of((4,), CPU).uniform_length == 4


def _check(
    operation: Callable[..., Tensor], formula: Callable[..., Tensor], *inputs: Tensor
) -> None:
    truth = formula(*(x.double() for x in inputs))
    ours, plain = operation(*inputs), formula(*inputs)
    assert ours.dtype == inputs[0].dtype
    assert ours.shape == truth.shape
    assert _error(ours, truth) <= 2 * _error(plain, truth)


def _error(x: Tensor, truth: Tensor) -> float:
    return ((x.double() - truth).norm() / truth.norm()).item()


def _draw(dtype: torch.dtype, *shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(len(shapes))
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def _index(lengths: Sequence[int]) -> Tensor:
    """Each token's segment, written out by hand rather than taken from Segments."""
    bounds = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    index = torch.zeros(bounds[-1], dtype=torch.int64)
    for n, (start, end) in enumerate(pairwise(bounds)):
        index[start:end] = n
    return index


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x, x.shape[-1:], weight, EPS)


def _turn(x: Tensor, turn: Tensor, interleaved: bool) -> Tensor:
    """Multiply the pairs of x [T, H, D], seen as complex numbers, by turn [T, D/2]."""
    wide = x.to(turn.real.dtype)
    half = x.shape[-1] // 2
    if interleaved:
        pairs = torch.view_as_complex(wide.reshape(*x.shape[:-1], half, 2).contiguous())
        return torch.view_as_real(pairs * turn[:, None]).flatten(2).to(x.dtype)
    pairs = torch.complex(wide[..., :half].contiguous(), wide[..., half:].contiguous())
    turned = pairs * turn[:, None]
    return torch.cat([turned.real, turned.imag], -1).to(x.dtype)
