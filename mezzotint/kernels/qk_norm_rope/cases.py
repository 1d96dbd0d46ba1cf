"""Shapes of qk_norm_rope."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import EPS, Case, draw
from mezzotint.kernels.fp8 import saturate
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(4, 8, 16, 32, 64), warps=(1, 2, 4, 8))


def formula(
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    num_heads: int,
    num_kv_heads: int,
    interleaved: bool,
    quantize: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Norms in qkv's dtype; rotation as complex numbers in the tables' dtype, rounded back.

    `quantize` rounds q and k to e4m3 where qkv is bfloat16.
    """
    heads = qkv.unflatten(1, (-1, q_weight.shape[0]))
    q, k, v = heads.split([num_heads, num_kv_heads, num_kv_heads], 1)
    turn = torch.complex(cos, sin)[:, None]
    q = functional.rms_norm(q, q.shape[-1:], q_weight, eps)
    k = functional.rms_norm(k, k.shape[-1:], k_weight, eps)
    q, k = _turn(q, turn, interleaved), _turn(k, turn, interleaved)
    if quantize and qkv.dtype.itemsize == 2:
        q, k = saturate(q), saturate(k)
    return q, k, v


def _turn(x: Tensor, turn: Tensor, interleaved: bool) -> Tensor:
    wide = x.to(turn.real.dtype).contiguous()
    if interleaved:
        pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * turn).flatten(2).to(x.dtype)
    pairs = torch.complex(*wide.chunk(2, -1)) * turn
    return torch.cat([pairs.real, pairs.imag], -1).to(x.dtype)


def inputs(
    num_tokens: int,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    interleaved: bool,
    quantize: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The operation's arguments, with angles of a few turns."""
    width = (num_heads + 2 * num_kv_heads) * head_dim
    angles = 9 * draw(generator, torch.float32, num_tokens, head_dim // 2)
    return (
        3 * draw(generator, dtype, num_tokens, width),
        draw(generator, dtype, head_dim),
        draw(generator, dtype, head_dim),
        angles.cos(),
        angles.sin(),
        EPS,
        num_heads,
        num_kv_heads,
        interleaved,
        quantize,
    )


def _case(
    name: str,
    num_tokens: int,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    interleaved: bool,
    quantize: bool = False,
    small: bool = False,
) -> Case:
    make = partial(inputs, num_tokens, num_heads, num_kv_heads, head_dim, interleaved, quantize)
    width = (num_heads + num_kv_heads) * (3 if quantize else 4) + 4
    num_bytes = num_tokens * head_dim * width + 4 * head_dim
    return Case("qk_norm_rope", name, make, formula, num_bytes, small=small)


CASES = (
    _case("1024px", 4160, 30, 30, 128, True),
    _case("512px", 1088, 30, 30, 128, True),
    _case("qwen3", 64, 32, 8, 128, False),
    _case("qwen3-512", 512, 32, 8, 128, False),
    _case("fp8-1024px", 4160, 30, 30, 128, True, quantize=True),
    _case("fp8-512px", 1088, 30, 30, 128, True, quantize=True),
    _case("odd-fp8", 37, 2, 2, 64, True, quantize=True, small=True),
    _case("odd-48", 37, 5, 5, 48, True, small=True),
    _case("odd-128", 37, 2, 2, 128, True, small=True),
    _case("odd-grouped", 37, 6, 2, 48, False, small=True),
    _case("odd-grouped-128", 37, 4, 1, 128, False, small=True),
)
