"""y = (x - mean(x)) / sqrt(var(x) + eps) * scale[segment]."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.rms_norm_modulate.reference import rows


def layer_norm_modulate(
    x: Tensor, eps: float, scale: Tensor, index: Tensor | None = None
) -> Tensor:
    """Normalise each token about its mean and scale it by its segment's row.

    x [T, D] of any float dtype, scale [S, D] float32 (already 1 + s) and index [T]. float32
    inside, rounded once to x's dtype.
    """
    y = functional.layer_norm(x.float(), x.shape[-1:], eps=eps)
    return y.mul_(rows(scale, index)).to(x.dtype)
