"""Z-Image at its real size with random weights: right for speed and memory, drawing noise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import nn

from mezzotint.models.shared.autoencoder_kl import AutoencoderConfig, Decoder
from mezzotint.models.shared.qwen3 import Qwen3, Qwen3Config
from mezzotint.models.spec import LoadedModel, MakeReplay, ModelSpec
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.model import Networks, assemble, make_spec
from mezzotint.models.zimage.transformer import Transformer

RandomName = Literal["z-image-turbo", "z-image"]
SHIFTS: dict[RandomName, float] = {"z-image-turbo": 3.0, "z-image": 6.0}

_STD = 0.02


def random_spec(name: RandomName) -> ModelSpec:
    """Describe the model without building it."""
    return make_spec(TransformerConfig(), SHIFTS[name], None)


def load_random(
    name: RandomName,
    tokenizer_file: Path,
    device: torch.device,
    dtype: torch.dtype,
    caption_cache_mib: int,
    make_replay: MakeReplay,
) -> LoadedModel:
    """Build the model on the device in seconds; any tokenizer with few enough ids will do."""
    sizes = (TransformerConfig(), Qwen3Config(), AutoencoderConfig())
    networks = random_networks(*sizes, device, dtype)
    return assemble(
        random_spec(name), "random", tokenizer_file, networks, caption_cache_mib, make_replay
    )


def random_networks(
    transformer: TransformerConfig,
    text_encoder: Qwen3Config,
    autoencoder: AutoencoderConfig,
    device: torch.device,
    dtype: torch.dtype,
) -> Networks:
    """Networks of these sizes on a device; the same values on every call."""
    with torch.device("meta"):
        networks = Networks(Qwen3(text_encoder), Transformer(transformer), Decoder(autoencoder))
    generator = torch.Generator(device).manual_seed(0)
    for module in (networks.text_encoder, networks.transformer, networks.decoder):
        module.to(dtype).to_empty(device=device)
        _fill(module, generator)
    return networks


@torch.no_grad()
def _fill(module: nn.Module, generator: torch.Generator) -> None:
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=_STD, generator=generator)
        else:
            parameter.fill_(1.0 if "norm" in name and not name.endswith("bias") else 0.0)
