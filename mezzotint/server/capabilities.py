"""GET /api/v1/capabilities: what this server's model takes, and on what it runs."""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from mezzotint.engine.plan import Largest
from mezzotint.models.catalogue import Catalogue
from mezzotint.models.spec import Limits, ModelSpec
from mezzotint.server.gpus import Gpus
from mezzotint.server.schema import ERRORS, StepBounds
from mezzotint.server.settings import MAX_PICTURES
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.tuning import Tuning
from mezzotint.types import Format
from mezzotint.version import __version__

FORMATS: tuple[Format, ...] = ("png", "webp", "jpeg")


class ModelInfo(BaseModel):
    """The model that is served."""

    name: str = Field(description="As the API's model field takes it.")
    title: str = Field(description="To show.")
    family: str = Field(description="Its architecture.")
    bundled: bool = Field(description="The small model that ships with the package, a toy.")
    precision: str = Field(description="What it computes in: fp32, bf16, fp8, fp8+attention.")
    licence: str | None = Field(description="SPDX name; null: see where the model came from.")


class GpuInfo(BaseModel):
    """A GPU that this server may use."""

    index: int = Field(description="From 0, as in the stats.")
    name: str = Field(description="As the driver names it.")
    memory_bytes: int = Field(description="In all, bytes.")


class DeviceInfo(BaseModel):
    """What makes the pictures."""

    kind: Literal["cpu", "cuda"] = Field(description="cpu or cuda.")
    name: str = Field(description="As files record it.")
    gpus: list[GpuInfo] = Field(description="Empty on a CPU, and without nvidia-ml-py.")


class Size(BaseModel):
    """A size worth offering."""

    width: int = Field(description="px.")
    height: int = Field(description="px.")
    ratio: str = Field(description="In lowest terms, as in 16:9.")


class Range(BaseModel):
    """Both ends are allowed."""

    min: float = Field(description="The least that is taken.")
    max: float = Field(description="The most that is taken.")


class LimitsInfo(BaseModel):
    """What the server takes."""

    min_side: int = Field(description="px.")
    max_side: int = Field(description="px.")
    multiple: int = Field(description="Both sides are multiples of it, px.")
    min_pixels: int = Field(description="Width times height, at least.")
    max_pixels: int = Field(
        description="Width times height, at most: what the model takes and there is memory for."
    )
    max_guided_pixels: int = Field(description="The same with guidance above 0.")
    steps: Range = Field(description="Denoise steps.")
    guidance: Range = Field(description="diffusers' meaning: 0 is off; CFG minus 1.")
    n_max: int = Field(description="Pictures a request.")
    prompt_tokens: int = Field(description="Template included.")


class DefaultsInfo(BaseModel):
    """What an open choice becomes, also where memory is too small for it."""

    width: int = Field(description="px.")
    height: int = Field(description="px.")
    steps: int = Field(description="Denoise steps.")
    steps_range: StepBounds | None = Field(
        description="The server's own range, for requests that name neither steps nor a preset; "
        "null: they get `steps`."
    )
    guidance: float = Field(description="diffusers' meaning: 0 is off.")
    format: Format = Field(description="The file's format.")


class KnownPrompt(BaseModel):
    """A subject that a small model was shown, in its two languages."""

    en: str = Field(description="Its first English name.")
    zh: str = Field(description="Its first Chinese name.")
    names: list[str] = Field(description="All it is known by, in both languages.")


class Features(BaseModel):
    """What this build and this model can do."""

    negative_prompt: bool = Field(description="The model is meant to be guided.")
    previews: bool = Field(description="Looks at unfinished pictures.")
    adaptive_steps: bool = Field(description="A request may give a range of steps.")
    history: bool = Field(description="Jobs, pictures, presets and settings are kept.")


class Capabilities(BaseModel):
    """What a client needs to know before it asks."""

    version: str = Field(description="Mezzotint's.")
    model: ModelInfo
    device: DeviceInfo
    sizes: list[Size] = Field(
        description="Worth offering, and there is memory for them; the default is the first, if so."
    )
    limits: LimitsInfo
    defaults: DefaultsInfo
    formats: list[Format] = Field(description="Of files; the first is the default.")
    prompts: list[KnownPrompt] = Field(
        description="All that a small model knows; empty for one that takes any prompt."
    )
    features: Features


def capabilities_router(
    source: RunnerSource, gpus: Gpus, tuning: Tuning, *, history: bool
) -> APIRouter:
    """One route; a 503 while the weights load."""
    responses: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1", tags=["capabilities"], responses=responses)

    known = cache(describe)  # nothing else of it changes while a runner lives

    @router.get("/capabilities", summary="What the model takes and where it runs")
    def read_capabilities() -> Capabilities:
        served, bounds = source.get(), tuning.now.open_steps
        found = known(served, served.runner.largest, gpus, history=history)
        open_steps = None if bounds is None else StepBounds(min=bounds.min, max=bounds.max)
        defaults = found.defaults.model_copy(update={"steps_range": open_steps})
        return found.model_copy(update={"defaults": defaults})

    return router


def describe(served: Served, largest: Largest, gpus: Gpus, *, history: bool) -> Capabilities:
    """Say what a ready runner can do with the memory that it has."""
    spec = served.runner.spec
    width, height = spec.sizes[0]
    return Capabilities(
        version=__version__,
        model=_model(served),
        device=_device(served.runner.provenance.device, gpus),
        sizes=[
            Size(width=w, height=h, ratio=_ratio(w, h)) for w, h in _sizes_within(spec, largest)
        ],
        limits=_limits(spec.limits, largest),
        defaults=DefaultsInfo(
            width=width,
            height=height,
            steps=spec.steps,
            steps_range=None,
            guidance=spec.guidance,
            format="png",
        ),
        formats=list(FORMATS),
        prompts=_prompts(spec.catalogue),
        features=Features(
            negative_prompt=spec.guidance > 0, previews=True, adaptive_steps=True, history=history
        ),
    )


def _model(served: Served) -> ModelInfo:
    spec = served.runner.spec
    return ModelInfo(
        name=spec.name,
        title=spec.name,
        family=spec.family,
        bundled=served.bundled,
        precision=served.runner.provenance.precision,
        licence="Apache-2.0" if served.bundled else None,
    )


def _device(name: str, gpus: Gpus) -> DeviceInfo:
    if name == "cpu":
        return DeviceInfo(kind="cpu", name=name, gpus=[])
    cards = [
        GpuInfo(index=card.index, name=card.name, memory_bytes=card.memory_bytes)
        for card in gpus.cards()
    ]
    return DeviceInfo(kind="cuda", name=name, gpus=cards)


def _sizes_within(spec: ModelSpec, largest: Largest) -> list[tuple[int, int]]:
    """Those of the model's sizes, at its own guidance."""
    most = largest.guided if spec.guidance > 0 else largest.plain
    return [(width, height) for width, height in spec.sizes if width * height <= most]


def _limits(limits: Limits, largest: Largest) -> LimitsInfo:
    return LimitsInfo(
        min_side=limits.min_side,
        max_side=limits.max_side,
        multiple=limits.side_multiple,
        min_pixels=limits.min_pixels,
        max_pixels=largest.plain,
        max_guided_pixels=largest.guided,
        steps=Range(min=1, max=limits.max_steps),
        guidance=Range(min=0, max=limits.max_guidance),
        n_max=MAX_PICTURES,
        prompt_tokens=limits.max_prompt_tokens,
    )


def _prompts(catalogue: Catalogue | None) -> list[KnownPrompt]:
    if catalogue is None:
        return []
    return [
        KnownPrompt(
            en=names.english[0],
            zh=(names.chinese or names.english)[0],
            names=[*names.english, *names.chinese],
        )
        for names in catalogue.subjects
    ]


def _ratio(width: int, height: int) -> str:
    common = gcd(width, height)
    return f"{width // common}:{height // common}"
