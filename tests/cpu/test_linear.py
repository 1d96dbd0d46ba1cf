"""The product of tokens and FP8 rows: its meaning, its kernel in an interpreter, its launches."""

from __future__ import annotations

import pytest
import torch
from triton_programs import needs_triton, printed

from mezzotint import kernels
from mezzotint.kernels.fp8 import FP8, Fp8Rows


def rows(num_rows: int, width: int) -> Fp8Rows:
    return kernels.quantize_rows(
        torch.randn(num_rows, width, generator=torch.Generator().manual_seed(0))
    )


def test_tokens_are_not_rounded_to_fp8() -> None:
    weight = Fp8Rows(torch.eye(16).to(FP8), 2 * torch.ones(16, 1))
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.bfloat16)
    assert torch.equal(kernels.linear(x, weight), 2 * x)
    assert not torch.equal(kernels.linear(kernels.quantize_rows(x), weight), 2 * x)


def test_a_row_of_the_weight_scales_its_column() -> None:
    weight, x = rows(32, 45), torch.randn(7, 45).bfloat16()
    exact = x.double() @ weight.dequantize(torch.float64)[:, :45].mT
    y = kernels.linear(x, weight)
    assert y.dtype == torch.bfloat16
    assert (y.double() - exact).norm() <= 2**-8 * exact.norm()


def test_tokens_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="give tokens of the weight's width"):
        kernels.linear(torch.zeros(3, 45), rows(32, 64))
    with pytest.raises(TypeError, match="no bias"):
        kernels.linear(torch.zeros(3, 64), rows(32, 64), torch.zeros(32))


@needs_triton
def test_every_launch_in_the_interpreter() -> None:
    from mezzotint.kernels.linear.cases import SWEEP

    found = printed("interpret_linear.py")
    assert {row["launch"] for row in found} == {str(launch) for launch in SWEEP}
    for row in found:
        assert row["passed"], row


@needs_triton
def test_a_launch_depends_on_few_classes_of_tokens() -> None:
    """A new number of tokens must compile nothing."""
    from mezzotint.kernels.linear.cases import QWEN3
    from mezzotint.kernels.linear.triton import LAUNCHES, choose

    assert {(n, k) for k, n in QWEN3.values()} == set(LAUNCHES)
    for k, n in (*QWEN3.values(), (45, 32)):
        assert len({choose(num_tokens, n, k) for num_tokens in range(1, 4200)}) <= 4
