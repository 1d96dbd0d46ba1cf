"""Rows of numbers in FP8: what the fast products read instead of bfloat16."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0  # the largest finite e4m3
SMALLEST_AMAX = 1e-12  # a row of zeros keeps a scale it can be divided by
WIDTH_MULTIPLE = 16  # bytes: tensor cores read rows in pieces of 16


@dataclass(frozen=True, slots=True, eq=False)
class Fp8Rows:
    """Tokens, or a weight's output channels: row i is values[i] * scale[i].

    values [R, K] e4m3, K a multiple of 16 (zeros beyond the true width); scale [R, 1] float32.
    """

    values: Tensor
    scale: Tensor

    @property
    def is_cuda(self) -> bool:
        return self.values.is_cuda

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scale.nbytes

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The numbers the rows stand for [R, K]."""
        return (self.values.to(torch.float32) * self.scale).to(dtype)


Rows = Tensor | Fp8Rows  # what a product reads


def saturate(x: Tensor) -> Tensor:
    """x rounded to e4m3, what is beyond its range held at its ends."""
    return x.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def padded_width(width: int) -> int:
    """The next width that FP8 products take."""
    return -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
