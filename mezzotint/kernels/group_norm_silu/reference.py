"""y = silu((x - mean_g) / sqrt(var_g + eps) * w + b), over groups of channels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def group_norm_silu(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float, silu: bool = True
) -> Tensor:
    """Normalise groups of channels, then SiLU. x [B, C, H, W], weight and bias [C]."""
    y = functional.group_norm(x, num_groups, weight, bias, eps)
    return functional.silu(y, inplace=True) if silu else y
