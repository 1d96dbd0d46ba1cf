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
