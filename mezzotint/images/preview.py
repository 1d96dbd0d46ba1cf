"""The unfinished picture as a file: a small estimate, enlarged to the picture's own size."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from mezzotint.images.file import encode
from mezzotint.types import Format, Provenance, Recipe


def encode_preview(
    preview: np.ndarray, format: Format, recipe: Recipe, provenance: Provenance, producer: str
) -> bytes:
    """Write `preview` [h, w, 3] uint8 as a file of the recipe's size, with AI-content marks alone.

    Bicubic: the estimate has one value for 8 by 8 pixels, and blocks would hide what it shows.
    """
    size = (recipe.width, recipe.height)
    pixels = np.asarray(Pillow.fromarray(preview).resize(size, Pillow.Resampling.BICUBIC))
    return encode(pixels, format, recipe, provenance, producer, "minimal")
