"""The decode stage: latents to pixels, slot by slot."""

from __future__ import annotations

from collections.abc import Sequence as Rows

from torch import Tensor

from mezzotint.kernels import to_pixels
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.spec import DecodeRow, Replay, SlotBuffers
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.patches import grid, unpatchify


class LatentDecoder:
    """The VAE's decoder, and the way from [-1, 1] to bytes."""

    def __init__(self, decoder: Decoder, config: TransformerConfig, replay: Replay) -> None:
        self._decoder = decoder
        self._config = config
        self._replay = replay

    def __call__(self, rows: Rows[DecodeRow], slots: SlotBuffers) -> None:
        """Write each row's picture into its slot's pixels, row-major RGB."""
        for row in rows:
            down, across = grid(row.width, row.height)
            tokens = slots.latents[row.slot, : down * across]
            latent = unpatchify(tokens, down, across, self._config)
            picture = self._replay((row.width, row.height), self._decode, latent)
            slots.pixels[row.slot, : row.height * row.width] = picture.flatten(0, 1)

    def _decode(self, latent: Tensor) -> Tensor:
        dtype = next(self._decoder.parameters()).dtype
        return to_pixels(self._decoder(latent[None].to(dtype))[0])
