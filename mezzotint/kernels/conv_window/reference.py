"""out[i, j] = f(x[(start + i) / scale, j / scale]), f = silu(a x + s); 0 beyond the picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def conv_window(
    x: Tensor, out: Tensor, start: int, affine: Tensor | None = None, scale: int = 1
) -> Tensor:
    """Write rows of what a convolution reads. x [H, W, C], out [R, scale W, C], affine [2, C].

    Without an affine map f is the identity. Divisions round down: elements are repeated.
    """
    first, last = max(start, 0), min(start + len(out), scale * len(x))
    out[: first - start] = 0.0
    out[last - start :] = 0.0
    if scale == 1:
        y = x[first:last]
    else:
        rows = torch.arange(first, last, device=x.device) // scale
        y = x[rows].repeat_interleave(scale, 1)
    if affine is not None:
        y = functional.silu(torch.addcmul(affine[1], y, affine[0]), inplace=True)
    out[first - start : last - start] = y
    return out
