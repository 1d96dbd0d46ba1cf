"""The decode stage: latents to pixels, slot by slot."""

from __future__ import annotations

import torch
from torch import Tensor

from mezzotint.kernels import to_pixels
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.shared.strips import LEAST_ROWS
from mezzotint.models.spec import DecodeRow, Replay, SlotBuffers
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.patches import VAE_FACTOR, grid, unpatchify

# Of the widest window of a strip: a GPU's L2 cache holds it until its convolution has read it.
STRIP_BYTES = 32 * 2**20


class LatentDecoder:
    """The VAE's decoder, and the way from [-1, 1] to bytes."""

    def __init__(self, decoder: Decoder, config: TransformerConfig, replay: Replay) -> None:
        self._decoder = decoder
        self._config = config
        self._replay = replay

    def __call__(self, row: DecodeRow, slots: SlotBuffers) -> None:
        """Write the row's picture into its slot's pixels, row-major RGB."""
        down, across = grid(row.width, row.height)
        tokens = slots.latents[row.slot, : down * across]
        latent = unpatchify(tokens, down, across, self._config)
        key, kind = (row.width, row.height), self._kind(latent)
        picture = self._replay(key, self._decode, latent, kind=kind)
        slots.picture(row.slot, row.height * row.width).copy_(picture.flatten(0, 1))

    def prepare(self, width: int, height: int) -> None:
        """Begin to record how a picture of this size is decoded."""
        shape = (self._config.in_channels, height // VAE_FACTOR, width // VAE_FACTOR)
        latent = torch.empty(shape, device=self._weight.device)
        self._replay.prepare((width, height), self._decode, latent, kind=self._kind(latent))

    @property
    def _weight(self) -> Tensor:
        return self._decoder.conv_in.weight

    def _decode(self, latent: Tensor) -> Tensor:
        rows = self._strip_rows(latent)
        return to_pixels(self._decoder(latent[None].to(self._weight.dtype), rows)[0])

    def _kind(self, latent: Tensor) -> str:
        return "whole" if self._strip_rows(latent) is None else "strips"

    def _strip_rows(self, latent: Tensor) -> int | None:
        _, height, width = latent.shape
        return strip_rows(self._decoder.config, width, height, self._weight.dtype.itemsize)


def strip_rows(
    config: AutoencoderConfig, width: int, height: int, element_bytes: int
) -> int | None:
    """How many rows of the picture make a strip of the decoder's last level.

    width and height are the latent's. None: one strip would hold the whole picture.
    """
    row_bytes = config.downscale * width * config.block_out_channels[1] * element_bytes
    rows = max(LEAST_ROWS, STRIP_BYTES // row_bytes // 8 * 8)
    return rows if rows < config.downscale * height else None
