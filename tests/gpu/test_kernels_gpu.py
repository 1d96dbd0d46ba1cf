"""Every operation on real shapes and odd ones on a GPU: error <= 2 x that of plain bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mezzotint import kernels
from mezzotint.kernels import harness
from mezzotint.kernels.case import Case
from mezzotint.kernels.to_pixels.reference import to_pixels as to_pixels_reference

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GPU = torch.device("cuda", 0)


def name(case: Case) -> str:
    return f"{case.op}-{case.name}"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator(GPU).manual_seed(seed)


@pytest.mark.parametrize("case", harness.CASES, ids=name)
def test_operation(case: Case) -> None:
    result = harness.check(case, GPU)
    assert result.passed, result


@pytest.mark.parametrize(
    "case", [case for case in harness.CASES if case.small and not case.library], ids=name
)
def test_operation_is_the_same_twice(case: Case) -> None:
    inputs = case.inputs(generator(), torch.bfloat16)
    first, second = (bits(harness.operation(case)(*inputs)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def bits(outputs: Any) -> list[torch.Tensor]:
    """Every tensor of an operation's outputs; FP8 as the bytes it is."""
    if isinstance(outputs, tuple):
        return [x for output in outputs for x in bits(output)]
    if isinstance(outputs, kernels.Fp8Rows):
        return [outputs.values.view(torch.uint8), outputs.scale]
    return [outputs]


def test_the_columns_that_pad_fp8_rows_are_zeros() -> None:
    from mezzotint.kernels.swiglu.triton import swiglu

    x = torch.randn(37, 2 * 45, device=GPU, dtype=torch.bfloat16)
    for rows in (kernels.quantize_rows(x[:, :45]), swiglu(x, True)):
        assert rows.values.shape == (37, 48)
        assert not rows.values.view(torch.uint8)[:, 45:].any()


def test_a_new_number_of_tokens_compiles_nothing() -> None:
    from mezzotint.kernels.residual_norm.triton import _residual_norm
    from mezzotint.kernels.rms_norm_modulate.cases import inputs
    from mezzotint.kernels.rms_norm_modulate.triton import _rms_norm_modulate
    from mezzotint.kernels.swiglu.triton import _swiglu

    def run(lengths: tuple[int, ...]) -> None:
        drawn = inputs(lengths, 256, False, generator(), torch.bfloat16)
        x, weight, eps, scale, index, _ = drawn
        for quantize in (False, True):
            kernels.rms_norm_modulate(x, weight, eps, scale, index, quantize=quantize)
            kernels.residual_norm_modulate(x, x, weight, weight, eps, scale, scale, index, quantize)
            kernels.swiglu(x, quantize)

    def compiled() -> list[int]:
        jits = (_rms_norm_modulate, _residual_norm, _swiglu)
        return [len(jit.device_caches[GPU.index][0]) for jit in jits]

    run((32,))
    run((16, 16))  # several requests read their tables by index
    before = compiled()
    for lengths in ((1,), (16, 16), (5, 31, 1), (4096,), (1, 2, 3, 4, 5, 6, 7, 8)):
        run(lengths)
    assert compiled() == before
    assert all(before)


def fp8_inputs(lengths: tuple[int, ...]) -> tuple[Any, ...]:
    from mezzotint.kernels.attention_fp8.cases import inputs

    return inputs(lengths, 4, 128, generator(), torch.bfloat16)


@pytest.mark.parametrize("lengths", [(4160,), (1088, 2368, 320, 576), (5, 31, 1)], ids=str)
def test_attention_in_fp8_errs_as_its_emulation(lengths: tuple[int, ...]) -> None:
    from mezzotint.kernels.attention.cases import formula as exact
    from mezzotint.kernels.attention_fp8.reference import attention_fp8 as emulated

    q, k, v, segments = fp8_inputs(lengths)
    truth = exact(q.double(), k.double(), v.double(), segments)
    ours, theirs = (f(q, k, v, segments).double() for f in (kernels.attention_fp8, emulated))
    assert (ours - truth).norm() <= 1.2 * (theirs - truth).norm()


def test_attention_in_fp8_reads_segments_on_the_device() -> None:
    q, k, v, _ = fp8_inputs((700, 333, 67))
    lengths = torch.tensor([0, 700, 1033, 1033, 1033], dtype=torch.int32, device=GPU)
    known = kernels.Segments.of((700, 333), GPU)
    segments = kernels.Segments(None, known.index, lengths, len(q))
    v[1033:] = torch.nan  # nobody's
    y = kernels.attention_fp8(q, k, v, segments)
    assert torch.equal(y[:1033], kernels.attention_fp8(q[:1033], k[:1033], v[:1033], known))
    assert not y[1033:].any()


def test_attention_in_fp8_compiles_nothing_for_a_new_length() -> None:
    from mezzotint.kernels.attention_fp8.triton import _attention, _quantize_values

    def compiled() -> list[int]:
        return [len(jit.device_caches[GPU.index][0]) for jit in (_attention, _quantize_values)]

    kernels.attention_fp8(*fp8_inputs((32,)))
    before = compiled()
    for lengths in ((1,), (16, 16), (5, 31, 1), (4160,), (1, 2, 3, 4, 5, 6, 7, 8)):
        kernels.attention_fp8(*fp8_inputs(lengths))
    assert compiled() == before
    assert all(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_pixels_equal_the_reference(dtype: torch.dtype) -> None:
    x = torch.linspace(-1.3, 1.3, 3 * 515 * 770, device=GPU).reshape(3, 515, 770).to(dtype)
    last = x.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(kernels.to_pixels(x), to_pixels_reference(x))
    assert torch.equal(kernels.to_pixels(last), to_pixels_reference(x))


def test_group_norm_keeps_the_layout() -> None:
    x = torch.randn(2, 32, 8, 8, device=GPU, dtype=torch.bfloat16)
    ones = torch.ones(32, device=GPU, dtype=torch.bfloat16)
    last = x.contiguous(memory_format=torch.channels_last)
    y, y_last = (kernels.group_norm_silu(v, ones, ones, 8, 1e-6) for v in (x, last))
    assert y.is_contiguous()
    assert y_last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, y_last.contiguous())


def test_strided_inputs_are_refused_with_the_remedy() -> None:
    x = torch.randn(64, 32, device=GPU, dtype=torch.bfloat16).mT
    with pytest.raises(ValueError, match="contiguous"):
        kernels.swiglu(x)


def test_a_product_of_tokens_compiles_nothing_for_a_new_number() -> None:
    from mezzotint.kernels.linear.triton import _add_parts, _linear, choose

    k, n = 9728, 2560
    weight = kernels.quantize_rows(torch.randn(n, k, device=GPU, dtype=torch.bfloat16))

    def run(num_tokens: int) -> None:
        x = torch.randn(num_tokens, k, device=GPU, dtype=torch.bfloat16)
        first, second = (kernels.linear(x, weight) for _ in range(2))
        assert torch.equal(first, second)

    def compiled() -> list[int]:
        return [len(jit.device_caches[GPU.index][0]) for jit in (_linear, _add_parts)]

    assert choose(64, n, k).splits > 1
    for num_tokens in (64, 128, 512, 1088):  # one of each class
        run(num_tokens)
    before = compiled()
    for num_tokens in (1, 32, 37, 96, 129, 1024):
        run(num_tokens)
    assert compiled() == before
    assert all(before)
