"""y = softmax(scale x) of each row."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_rows(x: Tensor, scale: float, into: torch.dtype) -> Tensor:
    """Turn scores into shares. x [R, K] float32 -> [R, K] of `into`; float32 inside."""
    return (x * scale).softmax(-1).to(into)
