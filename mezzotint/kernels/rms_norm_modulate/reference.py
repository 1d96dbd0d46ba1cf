"""y = x / sqrt(mean(x^2) + eps) * w * scale[segment]."""

from __future__ import annotations

import torch
from torch import Tensor

from mezzotint.kernels.fp8 import Rows
from mezzotint.kernels.quantize_rows.reference import quantize_rows


def rms_norm_modulate(
    x: Tensor,
    weight: Tensor,
    eps: float,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
) -> Rows:
    """Normalise each token and scale it by its segment's row.

    x [T, D] of any float dtype, weight [D], scale [S, D] float32 (already 1 + s) and index [T]
    go together; without them it is a plain RMSNorm. float32 inside, rounded once: to x's dtype,
    or to FP8 rows.
    """
    y = normed(x, weight, eps, scale, index)
    return quantize_rows(y) if quantize else y.to(x.dtype)


def normed(
    x: Tensor,
    weight: Tensor,
    eps: float,
    scale: Tensor | None = None,
    index: Tensor | None = None,
) -> Tensor:
    """The same before its rounding, float32, for operations that go on with it."""
    y = x.float()
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps) * weight.float()
    return y if scale is None else y * rows(scale, index)


def rows(table: Tensor, index: Tensor | None) -> Tensor:
    """Each token's row of a per-segment table [S, D]; one segment broadcasts without a copy."""
    return table if index is None or table.shape[0] == 1 else table[index]
