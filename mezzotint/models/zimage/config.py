"""The shape of a Z-Image transformer."""

from __future__ import annotations

from dataclasses import dataclass

SEQUENCE_MULTIPLE = 32  # image and caption are each padded to this with learned tokens
MODULATION_WIDTH = 256  # width of the time embedding that every block reads


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig:
    """Sizes of the transformer; the real model's are the defaults (facts: its config.json)."""

    dim: int = 3840
    num_layers: int = 30
    num_refiner_layers: int = 2
    num_heads: int = 30
    in_channels: int = 16
    patch_size: int = 2
    caption_width: int = 2560
    axes_dims: tuple[int, int, int] = (32, 48, 48)
    axes_lens: tuple[int, int, int] = (1536, 512, 512)
    rope_theta: float = 256.0
    norm_eps: float = 1e-5
    t_scale: float = 1000.0
    time_hidden: int = 1024

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def ffn_hidden(self) -> int:
        return int(self.dim / 3 * 8)

    @property
    def patch_width(self) -> int:
        """Elements of one image token: patch_size^2 * in_channels."""
        return self.patch_size**2 * self.in_channels


def padded(tokens: int) -> int:
    """The next multiple of 32: the model was trained with learned tokens up to there."""
    return -(-tokens // SEQUENCE_MULTIPLE) * SEQUENCE_MULTIPLE
