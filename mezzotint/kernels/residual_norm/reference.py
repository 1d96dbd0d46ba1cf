"""x' = x + gate[segment] * rms(branch) * w_post; h = rms(x') * w_pre * scale[segment]."""

from __future__ import annotations

from torch import Tensor

from mezzotint.kernels.fp8 import Product, Rows, numbers
from mezzotint.kernels.rms_norm_modulate.reference import normed, rms_norm_modulate


def residual_norm(
    x: Tensor,
    branch: Product,
    weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    index: Tensor | None = None,
) -> Tensor:
    """Add a normalised, gated branch to the residual stream.

    x and branch [T, D], weight [D], gate [S, D] float32 (already tanh) with index [T], or None
    for an ungated branch. float32 inside, rounded once to x's dtype.
    """
    return normed(numbers(branch), weight, eps, gate, index).add_(x).to(x.dtype)


def residual_norm_modulate(
    x: Tensor,
    branch: Product,
    post_weight: Tensor,
    pre_weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
) -> tuple[Tensor, Rows]:
    """residual_norm, then the next rms_norm_modulate (perhaps quantised), in one pass."""
    x = residual_norm(x, branch, post_weight, eps, gate, index)
    return x, rms_norm_modulate(x, pre_weight, eps, scale, index, quantize)
