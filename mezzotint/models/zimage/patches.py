"""Between a latent picture and the transformer's tokens: 2 x 2 patches, channels fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mezzotint.models.zimage.config import TransformerConfig

if TYPE_CHECKING:
    from torch import Tensor

VAE_FACTOR = 8  # pixels per latent element along a side
PATCH_PIXELS = 16  # pixels per token along a side


def patchify(latent: Tensor, config: TransformerConfig) -> Tensor:
    """latent [C, h, w] -> tokens [(h/2) * (w/2), 4 C], row-major."""
    p = config.patch_size
    x: Tensor = latent.unflatten(2, (-1, p)).unflatten(1, (-1, p))  # [C, h/2, 2, w/2, 2]
    return x.permute(1, 3, 2, 4, 0).flatten(2).flatten(0, 1)


def unpatchify(tokens: Tensor, rows: int, columns: int, config: TransformerConfig) -> Tensor:
    """The inverse: tokens [rows * columns, 4 C] -> latent [C, 2 rows, 2 columns]."""
    p = config.patch_size
    x: Tensor = tokens.unflatten(1, (p, p, -1)).unflatten(0, (rows, columns))  # [r, c, 2, 2, C]
    return x.permute(4, 0, 2, 1, 3).flatten(3).flatten(1, 2)


def grid(width: int, height: int) -> tuple[int, int]:
    """Tokens down and across a picture of width x height pixels. -> (rows, columns)."""
    return height // PATCH_PIXELS, width // PATCH_PIXELS
