"""y = softmax(scale x) of each row's first columns, 0 in the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def softmax_rows(x: Tensor, scale: float, into: torch.dtype, columns: int) -> Tensor:
    """Turn scores into shares. x [R, K] float32 -> [R, K] of `into`; float32 inside."""
    shares = (x[:, :columns] * scale).softmax(-1)
    return functional.pad(shares, (0, x.shape[1] - columns)).to(into)
