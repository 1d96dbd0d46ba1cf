"""y = x W^T of FP8 rows and an FP8 matrix, their scales not yet applied."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.fp8 import (
    FP8,
    FP8_MAX,
    SMALLEST_AMAX,
    Fp8Matrix,
    Fp8Rows,
    ScaledRows,
    padded_width,
    saturate,
)

_ROWS_AT_ONCE = 2048  # of a weight in float32: a matrix of 20480 rows would take 0.3 GiB


def product(x: Fp8Rows, weight: Fp8Matrix) -> ScaledRows:
    """Multiply values alone. x [T, K], weight [N, K] -> [T, N] bfloat16; float32 inside."""
    y = x.values.float() @ weight.values.float().mT
    return ScaledRows(y.to(torch.bfloat16), x.scale, weight.scale)


def quantize_matrix(x: Tensor) -> Fp8Matrix:
    """Quantise a weight [N, K] of any float dtype by its largest element; float32 inside."""
    width = padded_width(x.shape[1])
    scale = torch.linalg.vector_norm(x, torch.inf).float().clamp_min(SMALLEST_AMAX) / FP8_MAX
    values = torch.empty(x.shape[0], width, dtype=FP8, device=x.device)
    for start in range(0, x.shape[0], _ROWS_AT_ONCE):
        part = x[start : start + _ROWS_AT_ONCE].float() / scale
        part = functional.pad(part, (0, width - x.shape[1]))
        values[start : start + _ROWS_AT_ONCE] = saturate(part)
    return Fp8Matrix(values, scale.reshape(1))
