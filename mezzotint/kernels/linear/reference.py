"""y = x W^T + b; with FP8 rows, of the numbers they stand for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.fp8 import Fp8Rows


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply one linear layer. x [..., K], weight [N, K], bias [N] -> [..., N], x's dtype."""
    return functional.linear(x, weight, bias)


def linear_fp8(x: Fp8Rows, weight: Fp8Rows) -> Tensor:
    """The product of FP8 rows. x [T, K], weight [N, K] -> [T, N] bfloat16; float32 inside."""
    y = x.values.float() @ weight.values.float().mT
    return (y * x.scale * weight.scale.mT).to(torch.bfloat16)
