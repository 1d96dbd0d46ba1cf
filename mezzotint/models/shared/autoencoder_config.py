"""The sizes of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """Sizes of the autoencoder; FLUX.1's are the defaults (facts: its config.json)."""

    in_channels: int = 3
    latent_channels: int = 16
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)  # finest level first
    layers_per_block: int = 2  # of the encoder; the decoder has one more
    norm_num_groups: int = 32
    norm_eps: float = 1e-6
    mid_attention: bool = True
    scaling_factor: float = 0.3611
    shift_factor: float = 0.1159

    @property
    def downscale(self) -> int:
        """Pixels along one side of a latent element."""
        return int(2 ** (len(self.block_out_channels) - 1))
