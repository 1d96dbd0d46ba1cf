"""A Z-Image's spec, from its headers and configuration: no tensor is read, no torch imported."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from mezzotint.models.catalogue import Catalogue
from mezzotint.models.config_file import read_config
from mezzotint.models.spec import ModelSpec, SlotShapes
from mezzotint.models.zimage.config import TransformerConfig, padded
from mezzotint.models.zimage.cost import step_tflop
from mezzotint.models.zimage.patches import PATCH_PIXELS
from mezzotint.models.zimage.presets import DEFAULTS, variant_of
from mezzotint.models.zimage.weights import ZImageCheckpoint
from mezzotint.samplers import flow_sigmas
from mezzotint.types import ModelError, Recipe

RandomName = Literal["z-image-turbo", "z-image"]
SHIFTS: dict[RandomName, float] = {"z-image-turbo": 3.0, "z-image": 6.0}
CATALOGUE_FILE = "subjects.json"


def spec_of(checkpoint: ZImageCheckpoint) -> ModelSpec:
    """Describe a checkpoint without reading its tensors."""
    catalogue = _catalogue(checkpoint.folder / CATALOGUE_FILE)
    return make_spec(checkpoint.transformer, checkpoint.shift, catalogue)


def make_spec(config: TransformerConfig, shift: float, catalogue: Catalogue | None) -> ModelSpec:
    """Describe a Z-Image of this size and schedule."""
    defaults = DEFAULTS[variant_of(config, shift)]
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
        catalogue=catalogue,
        slot_shapes=SlotShapes(
            latent_tokens=limits.max_pixels // PATCH_PIXELS**2,
            latent_width=config.patch_width,
            caption_tokens=padded(limits.max_prompt_tokens),
            caption_width=config.dim,
            pixels=limits.max_pixels,
        ),
        sigmas=partial(flow_sigmas, shift=shift),
        signature=_signature,
        cost=partial(step_tflop, config=config),
    )


def random_spec(name: RandomName) -> ModelSpec:
    """Describe a model of the real size whose weights are random, without building it."""
    return make_spec(TransformerConfig(), SHIFTS[name], None)


def _signature(recipe: Recipe, prompt_tokens: int) -> tuple[object, ...]:
    return (recipe.width, recipe.height, padded(prompt_tokens), recipe.guided)


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
