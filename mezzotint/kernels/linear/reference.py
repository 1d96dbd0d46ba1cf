"""y = x W^T + b."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply one linear layer. x [..., K], weight [N, K], bias [N] -> [..., N], x's dtype."""
    return functional.linear(x, weight, bias)
