"""What a picture file of any known program says of how it was made; no pixels are decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mezzotint.images.comfy import parse_comfy
from mezzotint.images.file import open_file
from mezzotint.images.infotext import parse_infotext
from mezzotint.images.metadata import PARAMETERS_KEY, has_document, parse
from mezzotint.images.settings import (
    Settings,
    as_number,
    as_seed,
    as_side,
    as_steps,
    as_text,
    from_cfg,
    inner,
    load_object,
    well_formed,
)
from mezzotint.types import NoSettingsError

Program = Literal["mezzotint", "a1111", "comfyui", "invokeai", "swarmui"]

_SWARM = "sui_image_params"
_INVOKE, _OLD_INVOKE = "invokeai_metadata", "sd-metadata"
_COMFY = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A picture's settings and what they were read from."""

    program: Program
    settings: Settings
    texts: Mapping[str, str]  # by keyword, as they stand in the file
    width: int  # px, the file's own
    height: int  # px


def inspect(data: bytes) -> Inspected:
    """Read a PNG, JPEG or WebP of at most 20 MiB and 16.8 megapixels.

    RequestError for anything else, and for a picture without settings that we know to read. What
    a file does not say is None; a size that it does not say is the file's own.
    """
    file = open_file(data)
    program, settings = _read(file.texts)
    if settings.width is None or settings.height is None:
        settings = replace(settings, width=file.width or None, height=file.height or None)
    texts = {well_formed(key): well_formed(text) for key, text in file.texts.items()}
    return Inspected(
        program=program, settings=settings, texts=texts, width=file.width, height=file.height
    )


def _read(texts: Mapping[str, str]) -> tuple[Program, Settings]:
    parameters = texts.get(PARAMETERS_KEY, "")
    if has_document(texts):
        return "mezzotint", _own(texts)
    if _SWARM in parameters:
        return "swarmui", _swarm(inner(load_object(parameters, "parameters"), _SWARM))
    if _INVOKE in texts:
        return "invokeai", _invoke(load_object(texts[_INVOKE], _INVOKE))
    if _OLD_INVOKE in texts:
        return "invokeai", _old_invoke(load_object(texts[_OLD_INVOKE], _OLD_INVOKE))
    if parameters:
        return "a1111", parse_infotext(parameters)
    if _COMFY in texts:
        return "comfyui", parse_comfy(texts[_COMFY])
    raise NoSettingsError(
        "the picture carries no settings of Mezzotint, A1111, ComfyUI, InvokeAI or SwarmUI; sites "
        "and chats often strip them: take the original file"
    )


def _own(texts: Mapping[str, str]) -> Settings:
    recipe, provenance = parse(texts)
    return Settings(
        prompt=well_formed(recipe.prompt),
        negative_prompt=well_formed(recipe.negative_prompt),
        width=as_side(recipe.width),
        height=as_side(recipe.height),
        steps=as_steps(recipe.steps),
        guidance=max(recipe.guidance, 0.0),
        seed=as_seed(recipe.seed),
        model=well_formed(provenance.model),
    )


def _swarm(values: Mapping[str, object]) -> Settings:
    texts = (values.get("prompt"), values.get("negativeprompt"), values.get("model"))
    return _settings(values, "cfgscale", *texts)


def _invoke(values: Mapping[str, object]) -> Settings:
    texts = (values.get("positive_prompt"), values.get("negative_prompt"))
    return _settings(values, "cfg_scale", *texts, inner(values, "model").get("name"))


def _old_invoke(values: Mapping[str, object]) -> Settings:
    """The form before version 3, with the prompt as a list of weighted texts."""
    image = inner(values, "image")
    prompt = image.get("prompt")
    parts = prompt if isinstance(prompt, list) else [{"prompt": prompt}]
    texts = [as_text(part.get("prompt")) for part in parts if isinstance(part, dict)]
    joined = ", ".join(filter(None, texts))
    return _settings(image, "cfg_scale", joined, "", values.get("model_weights"))


def _settings(
    numbers: Mapping[str, object], cfg: str, prompt: object, negative: object, model: object
) -> Settings:
    """Both programs call the numbers the same, but for the weight of guidance."""
    return Settings(
        prompt=as_text(prompt),
        negative_prompt=as_text(negative),
        width=as_side(numbers.get("width")),
        height=as_side(numbers.get("height")),
        steps=as_steps(numbers.get("steps")),
        guidance=from_cfg(as_number(numbers.get(cfg))),
        seed=as_seed(numbers.get("seed")),
        model=as_text(model) or None,
    )
