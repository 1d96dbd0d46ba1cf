"""Z-Image at its real size with random weights: right for speed and memory, drawing noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mezzotint.models.footprint import Footprint
from mezzotint.models.materialize import materialize
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.spec import Build, LoadedModel
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.describe import RandomName, random_spec
from mezzotint.models.zimage.footprint import footprint_of
from mezzotint.models.zimage.model import Networks, assemble, fp8_weights
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.types import Precision

_STD = 0.02


def random_footprint(precision: Precision) -> Footprint:
    """What the model needs of a device's memory; both names are of one size."""
    return footprint_of(TransformerConfig(), Qwen3Config(), AutoencoderConfig(), precision)


def load_random(name: RandomName, tokenizer_file: Path, build: Build) -> LoadedModel:
    """Build the model on the device in seconds; any tokenizer with few enough ids will do."""
    networks = random_networks(TransformerConfig(), Qwen3Config(), AutoencoderConfig(), build)
    return assemble(random_spec(name), "random", tokenizer_file, networks, build)


def random_networks(
    transformer: TransformerConfig,
    text_encoder: Qwen3Config,
    autoencoder: AutoencoderConfig,
    build: Build,
) -> Networks:
    """Networks of these sizes on a device; the same values on every call."""
    with torch.device("meta"):
        networks = Networks(Qwen3(text_encoder), Transformer(transformer), Decoder(autoencoder))
    generator = torch.Generator(build.device).manual_seed(0)

    def draw(name: str, shape: torch.Size) -> Tensor:
        value = torch.empty(shape, dtype=build.dtype, device=build.device)
        if len(shape) > 1:
            return value.normal_(std=_STD, generator=generator)
        return value.fill_(1.0 if "norm" in name and not name.endswith("bias") else 0.0)

    text_encoder_choice, transformer_choice = fp8_weights(build)
    materialize(networks.text_encoder, draw, text_encoder_choice)
    if build.text_rows_on_host:
        networks.text_encoder.keep_rows_on_host()
    materialize(networks.transformer, draw, transformer_choice)
    materialize(networks.decoder, draw)
    return networks
