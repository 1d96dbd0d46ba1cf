"""The decode stage: latents to pixels, slot by slot."""

from __future__ import annotations

from collections.abc import Sequence as Rows

from mezzotint.kernels import to_pixels
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.spec import DecodeRow, SlotBuffers
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.patches import grid, unpatchify


class LatentDecoder:
    """The VAE's decoder, and the way from [-1, 1] to bytes."""

    def __init__(self, decoder: Decoder, config: TransformerConfig) -> None:
        self._decoder = decoder
        self._config = config

    def __call__(self, rows: Rows[DecodeRow], slots: SlotBuffers) -> None:
        """Write each row's picture into its slot's pixels, row-major RGB."""
        dtype = next(self._decoder.parameters()).dtype
        for row in rows:
            down, across = grid(row.width, row.height)
            tokens = slots.latents[row.slot, : down * across]
            latent = unpatchify(tokens, down, across, self._config)
            picture = to_pixels(self._decoder(latent[None].to(dtype))[0])
            slots.pixels[row.slot, : row.height * row.width] = picture.flatten(0, 1)
