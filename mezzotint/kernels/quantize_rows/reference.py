"""scale = max |x| / 448 of each row; values = x / scale, rounded to e4m3."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.fp8 import FP8, FP8_MAX, SMALLEST_AMAX, Fp8Rows, padded_width, saturate


def quantize_rows(x: Tensor) -> Fp8Rows:
    """Quantise each row by its largest element. x [R, K] of any float dtype; float32 inside."""
    width = x.shape[1]
    y = x.float()
    scale = y.abs().amax(1, keepdim=True).clamp_min(SMALLEST_AMAX) / FP8_MAX
    values = saturate(y / scale)
    if width == padded_width(width):
        return Fp8Rows(values, scale)
    # torch pads no FP8: the bytes of its zero are zeros.
    raw = functional.pad(values.view(torch.uint8), (0, padded_width(width) - width))
    return Fp8Rows(raw.view(FP8), scale)
