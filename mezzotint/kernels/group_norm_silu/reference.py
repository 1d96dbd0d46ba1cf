"""y = silu((x - mean_g) / sqrt(var_g + eps) * w + b), over groups of channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def group_norm_silu(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float, silu: bool = True
) -> Tensor:
    """Normalise groups of channels, then SiLU. x [B, C, H, W], weight and bias [C]."""
    y = functional.group_norm(x, num_groups, weight, bias, eps)
    return functional.silu(y, inplace=True) if silu else y


def group_norm_affine(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float
) -> Tensor:
    """Find the norm's map of each channel, y = a x + s. x [B, C, H, W] -> (a, s) [B, 2, C]."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    groups = x.unflatten(1, (num_groups, -1)).to(dtype)
    variance, mean = torch.var_mean(groups, (2, 3, 4), correction=0)  # [B, G]
    mean, variance = (
        per_group.repeat_interleave(x.shape[1] // num_groups, 1) for per_group in (mean, variance)
    )
    scale = weight * (variance + eps).rsqrt()
    return torch.stack([scale, bias - mean * scale], 1)
