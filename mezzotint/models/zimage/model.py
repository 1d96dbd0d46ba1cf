"""A Z-Image checkpoint, loaded: its spec and the programs of its three stages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from mezzotint.models.catalogue import Catalogue
from mezzotint.models.config_file import read_config
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.spec import LoadedModel, ModelSpec, SlotShapes
from mezzotint.models.zimage.cost import step_tflop
from mezzotint.models.zimage.decode import LatentDecoder
from mezzotint.models.zimage.denoise import Denoiser
from mezzotint.models.zimage.encode import Encoder
from mezzotint.models.zimage.layout import padded
from mezzotint.models.zimage.patches import PATCH_PIXELS
from mezzotint.models.zimage.presets import DEFAULTS, variant_of
from mezzotint.models.zimage.prompt import PromptTokenizer
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.models.zimage.weights import ZImageCheckpoint
from mezzotint.samplers import flow_sigmas
from mezzotint.types import ModelError, Recipe

CATALOGUE_FILE = "subjects.json"


def spec_of(checkpoint: ZImageCheckpoint) -> ModelSpec:
    """Describe a checkpoint without reading its tensors."""
    config = checkpoint.transformer
    defaults = DEFAULTS[variant_of(config, checkpoint.shift)]
    limits = defaults.limits
    return ModelSpec(
        name=defaults.title,
        family="zimage",
        packing="tokens",
        prediction="velocity",
        sampler="flow_euler",
        guidance_convention="pos + g (pos - neg)",
        sizes=defaults.sizes,
        steps=defaults.steps,
        guidance=defaults.guidance,
        limits=limits,
        presets=defaults.presets,
        catalogue=_catalogue(checkpoint.folder / CATALOGUE_FILE),
        slot_shapes=SlotShapes(
            latent_tokens=limits.max_pixels // PATCH_PIXELS**2,
            latent_width=config.patch_width,
            caption_tokens=padded(limits.max_prompt_tokens),
            caption_width=config.dim,
            pixels=limits.max_pixels,
        ),
        sigmas=partial(flow_sigmas, shift=checkpoint.shift),
        signature=_signature,
        cost=partial(step_tflop, config=config),
    )


def load(
    checkpoint: ZImageCheckpoint, device: torch.device, dtype: torch.dtype, caption_cache_mib: int
) -> LoadedModel:
    """Read the weights onto a device, tensor by tensor, in one dtype for all three models."""
    spec = spec_of(checkpoint)
    tokenizer = PromptTokenizer(checkpoint.tokenizer_file, spec.limits.max_prompt_tokens)
    if tokenizer.num_ids > checkpoint.text_encoder.vocab_size:
        raise ModelError(
            f"{checkpoint.tokenizer_file.name} has ids up to {tokenizer.num_ids - 1} and the text "
            f"encoder embeds {checkpoint.text_encoder.vocab_size}; they belong to different "
            "models: take both from the same one"
        )
    with torch.device("meta"):
        text_encoder = Qwen3(checkpoint.text_encoder)
        transformer = Transformer(checkpoint.transformer)
        decoder = Decoder(checkpoint.autoencoder)
    checkpoint.fill_text_encoder(text_encoder, device, dtype)
    checkpoint.fill_transformer(transformer, device, dtype)
    checkpoint.fill_decoder(decoder, device, dtype)
    for module in (text_encoder, transformer, decoder):
        _freeze(module)
    return LoadedModel(
        spec=spec,
        weights_id=checkpoint.weights_id,
        tokenize=tokenizer,
        encode=Encoder(text_encoder, transformer, caption_cache_mib * 2**20),
        denoise=Denoiser(transformer),
        decode=LatentDecoder(decoder, checkpoint.transformer),
    )


def _catalogue(path: Path) -> Catalogue | None:
    """What a small model knows, if its folder lists it; a real model knows the world."""
    if not path.is_file():
        return None
    try:
        return Catalogue.of(read_config(path).values)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} does not list subjects as expected ({error!r}); take the model's folder anew"
        ) from error


def _freeze(module: nn.Module) -> None:
    module.eval().requires_grad_(False)


def _signature(recipe: Recipe, prompt_tokens: int) -> tuple[object, ...]:
    return (recipe.width, recipe.height, padded(prompt_tokens), recipe.guided)
