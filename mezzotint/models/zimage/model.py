"""A Z-Image checkpoint, loaded: the programs of its three stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mezzotint.kernels import attention_reads_bounds
from mezzotint.kernels.attention_fp8.reference import HEAD_DIMS
from mezzotint.models.fill import fill
from mezzotint.models.materialize import Chooses, bytes_on, nothing
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.spec import (
    Build,
    Eager,
    LoadedModel,
    ModelSpec,
    Replay,
)
from mezzotint.models.zimage.decode import LatentDecoder
from mezzotint.models.zimage.denoise import Denoiser
from mezzotint.models.zimage.describe import spec_of
from mezzotint.models.zimage.encode import Encoder
from mezzotint.models.zimage.precision import (
    attends_in_fp8,
    text_encoder_fp8,
    transformer_fp8,
)
from mezzotint.models.zimage.preview import LatentPreview
from mezzotint.models.zimage.prompt import PromptTokenizer
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.models.zimage.weights import ZImageCheckpoint
from mezzotint.types import ConfigError, ModelError


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The three networks, their weights in place."""

    text_encoder: Qwen3
    transformer: Transformer
    decoder: Decoder


def load(checkpoint: ZImageCheckpoint, build: Build) -> LoadedModel:
    """Read the weights onto a device, tensor by tensor, in one precision for all three models."""
    checkpoint = checkpoint.watched(build.on_load)
    with torch.device("meta"):
        networks = Networks(
            Qwen3(checkpoint.text_encoder),
            Transformer(checkpoint.transformer),
            Decoder(checkpoint.autoencoder),
        )
    place = (build.device, build.dtype)
    text_encoder, transformer = fp8_weights(build)
    fill(checkpoint.text_encoder_weights, networks.text_encoder, *place, text_encoder)
    if build.text_rows_on_host:
        networks.text_encoder.keep_rows_on_host()  # before the rest needs their place
    fill(checkpoint.transformer_weights, networks.transformer, *place, transformer)
    fill(checkpoint.decoder_weights, networks.decoder, *place)
    return assemble(
        spec_of(checkpoint),
        checkpoint.weights_id,
        checkpoint.tokenizer_file,
        networks,
        build,
    )


def fp8_weights(build: Build) -> tuple[Chooses, Chooses]:
    """What chooses the text encoder's and the transformer's weights that are held in FP8."""
    return (text_encoder_fp8, transformer_fp8) if build.fp8 else (nothing, nothing)


def assemble(
    spec: ModelSpec,
    weights_id: str,
    tokenizer_file: Path,
    networks: Networks,
    build: Build,
) -> LoadedModel:
    """Make the stages' programs from networks whose weights are in place."""
    tokenizer = PromptTokenizer(tokenizer_file, spec.limits.max_prompt_tokens)
    embedded = networks.text_encoder.config.vocab_size
    if tokenizer.num_ids > embedded:
        raise ModelError(
            f"{tokenizer_file.name} has ids up to {tokenizer.num_ids - 1} and the text encoder "
            f"embeds {embedded}; they belong to different models: take both from the same one"
        )
    transformer, decoder = networks.transformer, networks.decoder
    _choose_attention(transformer, build)
    modules = (networks.text_encoder, transformer, decoder)
    for module in modules:
        module.eval().requires_grad_(False)
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    preview = LatentPreview(decoder, transformer.config)
    cache_bytes = build.caption_cache_mib * 2**20
    encode, denoise = build.make_replay(), build.make_replay()
    decode = build.make_replay(ahead=True)
    return LoadedModel(
        spec=spec,
        weights_id=weights_id,
        weights_bytes=sum(bytes_on(build.device, module) for module in modules),
        tokenize=tokenizer,
        encode=Encoder(networks.text_encoder, transformer, cache_bytes, encode),
        denoise=Denoiser(
            transformer, preview, denoise, _records_mixes(denoise, build, transformer)
        ),
        decode=LatentDecoder(decoder, transformer.config, decode),
    )


def _choose_attention(transformer: Transformer, build: Build) -> None:
    transformer.attend_with(build.attention)
    if not build.attention_fp8:
        return
    if transformer.config.head_dim not in HEAD_DIMS:
        raise ConfigError(
            f"attention fp8 takes heads of {', '.join(map(str, HEAD_DIMS))} and this model's have "
            f"{transformer.config.head_dim}; leave attention at auto"
        )
    transformer.attend_in_fp8(attends_in_fp8)


def _records_mixes(replay: Replay, build: Build, transformer: Transformer) -> bool:
    """Whether packs of unlike requests are recorded, where attention finds segments by itself."""
    head_dim = transformer.config.head_dim
    return not isinstance(replay, Eager) and attention_reads_bounds(
        build.device, build.dtype, head_dim, build.attention
    )
