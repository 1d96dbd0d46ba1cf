"""out = x + b + r, the end of a convolution."""

from __future__ import annotations

import torch
from torch import Tensor


def add_bias(x: Tensor, bias: Tensor, out: Tensor, residual: Tensor | None = None) -> Tensor:
    """Write x + bias + residual to `out`, rounded once; residual may be `out` itself.

    x, out and residual [H, W, C], bias [C].
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    y = x.to(dtype) + bias.to(dtype)
    return out.copy_(y if residual is None else y.add_(residual))
