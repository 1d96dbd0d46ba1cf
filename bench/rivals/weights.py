"""The weights that all share: the engine's random ones, under the names that rivals read."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mezzotint.models.checkpoint import KeyMap
from mezzotint.models.shared import autoencoder_keys, qwen3_keys
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.spec import Build
from mezzotint.models.zimage import keys
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.random_weights import random_networks


@dataclass(frozen=True)
class Sizes:
    """What the networks measure; the real model's are the defaults."""

    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    text_encoder: Qwen3Config = field(default_factory=Qwen3Config)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """Tensors by the names diffusers and transformers give them; views of the engine's own."""

    sizes: Sizes
    device: torch.device
    dtype: torch.dtype
    transformer: dict[str, Tensor]
    text_encoder: dict[str, Tensor]  # without the last layer, which a text encoder never shows
    decoder: dict[str, Tensor]

    @classmethod
    def make(cls, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> SharedWeights:
        """The very values that `Engine(random_weights=...)` has on this device."""
        parts = (sizes.transformer, sizes.text_encoder, sizes.autoencoder)
        build = Build(device=device, dtype=dtype, caption_cache_mib=0)
        networks = random_networks(*parts, build)
        return cls(
            sizes,
            device,
            dtype,
            _by_their_names(networks.transformer, keys.key_map(sizes.transformer, ())),
            _by_their_names(networks.text_encoder, qwen3_keys.key_map(sizes.text_encoder)),
            _by_their_names(
                networks.decoder, autoencoder_keys.key_map(sizes.autoencoder, "decoder")
            ),
        )


def fill(module: nn.Module, tensors: dict[str, Tensor], others: tuple[str, ...]) -> None:
    """Give a module these tensors; names that start as in `others` keep what they have.

    ValueError when any other parameter is left out or a tensor finds no place: a rival that ran
    with other weights would be no rival.
    """
    odd = module.load_state_dict(tensors, strict=False, assign=True)
    missing = [name for name in odd.missing_keys if not name.startswith(others)]
    if missing or odd.unexpected_keys:
        raise ValueError(
            f"{type(module).__name__} lacks {missing[:3]} and does not know "
            f"{odd.unexpected_keys[:3]}: its names have changed, mend bench/rivals"
        )
    module.eval().requires_grad_(False)


def _by_their_names(module: nn.Module, key_map: KeyMap) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for ours, theirs in key_map.sources.items():
        rows = [key_map.shapes[name][0] for name in theirs]
        pieces = module.get_parameter(ours).detach().split(rows)
        named |= dict(zip(theirs, pieces, strict=True))
    return named
