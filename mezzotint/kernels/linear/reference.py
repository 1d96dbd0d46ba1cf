"""y = x W^T + b; with FP8 rows, of the numbers they stand for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.fp8 import Fp8Rows, padded_width


def linear(x: Tensor, weight: Tensor | Fp8Rows, bias: Tensor | None = None) -> Tensor:
    """Apply one linear layer. x [..., K], weight [N, K], bias [N] -> [..., N], x's dtype.

    FP8 rows are read as they are, without a bias; float32 inside, rounded once.
    """
    if isinstance(weight, Tensor):
        return functional.linear(x, weight, bias)
    check_widths(x, weight)
    y = x.float() @ weight.values[:, : x.shape[1]].float().mT
    return (y * weight.scale.mT).to(x.dtype)


def linear_fp8(x: Fp8Rows, weight: Fp8Rows) -> Tensor:
    """The product of FP8 rows. x [T, K], weight [N, K] -> [T, N] bfloat16; float32 inside."""
    y = x.values.float() @ weight.values.float().mT
    return (y * x.scale * weight.scale.mT).to(torch.bfloat16)


def check_widths(x: Tensor, weight: Fp8Rows) -> None:
    """Refuse tokens whose width is not the one that the weight's rows were padded from."""
    if padded_width(x.shape[1]) != weight.values.shape[1]:
        raise ValueError(
            f"tokens of width {x.shape[1]} were given to FP8 rows of {weight.values.shape[1]}, "
            f"which hold {padded_width(x.shape[1])} for it: give tokens of the weight's width"
        )
