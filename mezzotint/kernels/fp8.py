"""Numbers in FP8: what the fast products read instead of bfloat16, and what they write."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0  # the largest finite e4m3
SMALLEST_AMAX = 1e-12  # a row of zeros keeps a scale it can be divided by
WIDTH_MULTIPLE = 16  # bytes: tensor cores read rows in pieces of 16


@dataclass(frozen=True, slots=True, eq=False)
class Fp8Values:
    """values * scale. values [R, K] e4m3, K a multiple of 16 (zeros beyond the true width)."""

    values: Tensor
    scale: Tensor  # float32

    @property
    def is_cuda(self) -> bool:
        return self.values.is_cuda

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scale.nbytes

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The numbers it stands for [R, K]."""
        return (self.values.to(torch.float32) * self.scale).to(dtype)


class Fp8Rows(Fp8Values):
    """Tokens, or a weight's output channels: row i is values[i] * scale[i]; scale [R, 1]."""

    __slots__ = ()


class Fp8Matrix(Fp8Values):
    """A weight with one scale [1].

    e4m3 is floating point, so a row a hundred times smaller than the largest is held as well as
    it: only below a thousandth of the matrix's largest element are bits lost.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScaledRows:
    """A product whose scales wait for whoever reads it: row i is values[i] * scale[i] * factor.

    values [T, N] bfloat16, scale [T, 1] and factor [1] float32. The tensor cores' products are
    faster without scales: 6 % of a block at 4160 tokens, 19 % at 1088, on an H100.
    """

    values: Tensor
    scale: Tensor
    factor: Tensor

    @property
    def is_cuda(self) -> bool:
        return self.values.is_cuda

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The numbers the rows stand for [T, N]."""
        return (self.values.to(torch.float32) * (self.scale * self.factor)).to(dtype)


Rows = Tensor | Fp8Rows  # what a product reads
Weight = Tensor | Fp8Rows | Fp8Matrix
Product = Tensor | ScaledRows


def numbers(x: Product) -> Tensor:
    """A product as plain numbers: as it is, or with its scales, in float32."""
    return x if isinstance(x, Tensor) else x.dequantize(torch.float32)


def scales(x: Product) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """A product's values, its rows' scales and its factor, as kernels take them."""
    return (x, None, None) if isinstance(x, Tensor) else (x.values, x.scale, x.factor)


def saturate(x: Tensor) -> Tensor:
    """x rounded to e4m3, what is beyond its range held at its ends."""
    return x.clamp(-FP8_MAX, FP8_MAX).to(FP8)


def padded_width(width: int) -> int:
    """The next width that FP8 products take."""
    return -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
