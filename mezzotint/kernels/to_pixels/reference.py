"""p = round(255 * clamp(x / 2 + 1/2, 0, 1))."""

from __future__ import annotations

import torch
from torch import Tensor


def to_pixels(x: Tensor) -> Tensor:
    """Turn a decoded picture into bytes. x [3, H, W] in [-1, 1] -> [H, W, 3] uint8."""
    y = x.float().mul(0.5).add_(0.5).clamp_(0.0, 1.0).mul_(255.0).round_()
    return y.to(torch.uint8).permute(1, 2, 0).contiguous()
