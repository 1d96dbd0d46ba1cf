"""Presets over HTTP: the model's own scenes, and those that a caller keeps."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.jobs import presets
from mezzotint.jobs.database import Database
from mezzotint.jobs.presets import Choices, StoredPreset
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec, Preset
from mezzotint.server.errors import ApiError, invalid
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.keys import Caller
from mezzotint.server.schema import ERRORS, StepBounds, Steps, steps_range
from mezzotint.server.settings import MAX_PICTURES, MAX_PROMPT_CHARACTERS
from mezzotint.server.source import RunnerSource
from mezzotint.types import MAX_SEED, Format, RequestError, StepRange
from mezzotint.types import Request as PictureRequest

_Side = Annotated[int, Field(ge=1, le=65_536)]
_Name = Annotated[
    str,
    Path(min_length=1, max_length=presets.MAX_NAME, description="Printable, without a slash."),
]


class Title(BaseModel):
    """A text in both languages."""

    en: str = Field(description="In English.")
    zh: str = Field(description="In Chinese.")


class PresetValues(BaseModel):
    """What a preset decides; what is null is left to the request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)] | None = Field(
        None, description="What to keep out; needs guidance above 0."
    )
    width: _Side | None = Field(None, description="px, within the model's limits, with height.")
    height: _Side | None = Field(None, description="px, within the model's limits, with width.")
    steps: Steps | None = Field(
        None, description="Denoise steps, within the model's limits, or a range of them."
    )
    guidance: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None, description="diffusers' meaning: 0 is off, the usual CFG weight minus one."
    )
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = Field(
        None, description="-1: drawn at random."
    )
    n: Annotated[int, Field(ge=1, le=MAX_PICTURES)] | None = Field(None, description="Pictures.")
    format: Format | None = Field(None, description="The file's format.")


class PresetBody(BaseModel):
    """A preset to keep."""

    model_config = ConfigDict(extra="forbid", strict=True)

    values: PresetValues


class PresetInfo(BaseModel):
    """A preset; what a request itself says goes before it."""

    name: str = Field(description="What a call's `preset` takes.")
    title: Title = Field(description="To show.")
    about: Title = Field(description="What it decides, in a line.")
    builtin: bool = Field(description="true: the model's own, which cannot be changed.")
    values: PresetValues


class PresetList(BaseModel):
    """The model's presets, then the caller's by name."""

    presets: list[PresetInfo] = Field(description="The model's, then the caller's.")


def presets_router(source: RunnerSource, database: Database | None) -> APIRouter:
    """/api/v1/presets; without a database the model's own alone."""
    responses: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1/presets", tags=["presets"], responses=responses)

    @router.get("", summary="List the model's presets and one's own")
    def list_presets(http: Request) -> PresetList:
        found = [_of_model(preset) for preset in source.get().runner.spec.presets]
        if database is not None:
            found += map(_of_user, database.read(presets.list_presets, _owner(http)))
        return PresetList(presets=found)

    if database is not None:
        _add_changing(router, source, database)
    return router


def _add_changing(router: APIRouter, source: RunnerSource, database: Database) -> None:
    @router.put(
        "/{name}",
        summary="Keep a preset, in place of one's own of that name",
        dependencies=[JSON_ONLY],
    )
    def keep_preset(name: _Name, body: PresetBody, http: Request) -> PresetInfo:
        spec = source.get().runner.spec
        _check_name(name, spec)
        choices = _choices(body.values)
        try:
            _check(choices, spec)
            kept = database.write(
                presets.save,
                _owner(http),
                name,
                choices,
                id=secrets.token_hex(16),
                now_us=time.time_ns() // 1000,
            )
        except RequestError as error:
            raise invalid(str(error), None) from error
        return _of_user(kept)

    @router.delete("/{name}", summary="Delete one of one's own presets", status_code=204)
    def delete_preset(name: _Name, http: Request) -> None:
        if not database.write(presets.remove, _owner(http), name):
            raise ApiError(404, "you keep no preset of this name", code="not_found")


def _owner(http: Request) -> str:
    caller: Caller = http.state.caller
    return caller.key_id


def _check_name(name: str, spec: ModelSpec) -> None:
    if any(name in (preset.key, preset.zh, preset.en) for preset in spec.presets):
        raise invalid("the model has a preset of this name; choose another", "name")


def _check(choices: Choices, spec: ModelSpec) -> None:
    """RequestError for what no request to this model could ask for."""
    resolve(
        PictureRequest(
            prompt="any",
            negative_prompt=choices.negative_prompt or "",
            width=choices.width,
            height=choices.height,
            steps=choices.steps if isinstance(choices.steps, int) else None,
            steps_range=choices.steps if isinstance(choices.steps, StepRange) else None,
            guidance=choices.guidance,
            seed=choices.seed,
        ),
        spec,
    )


def _choices(values: PresetValues) -> Choices:
    chosen = values.model_dump() | {"steps": steps_range(values.steps) or values.steps}
    return Choices(**chosen)


def _of_model(preset: Preset) -> PresetInfo:
    values = PresetValues.model_validate(preset, from_attributes=True)
    title = Title(en=preset.en, zh=preset.zh)
    return PresetInfo(
        name=preset.key, title=title, about=_about(values), builtin=True, values=values
    )


def _of_user(preset: StoredPreset) -> PresetInfo:
    values = PresetValues.model_validate(preset.choices, from_attributes=True)
    title = Title(en=preset.name, zh=preset.name)
    return PresetInfo(
        name=preset.name, title=title, about=_about(values), builtin=False, values=values
    )


def _about(values: PresetValues) -> Title:
    """The values in a line, as in "768 × 768 px, 15 steps, guidance 6"."""
    en, zh = [], []
    if values.width is not None:
        en.append(f"{values.width} × {values.height} px")
        zh.append(f"{values.width} × {values.height} 像素")
    if isinstance(values.steps, StepBounds):
        en.append(f"{values.steps.min} to {values.steps.max} steps")
        zh.append(f"{values.steps.min} 至 {values.steps.max} 步")
    elif values.steps is not None:
        en.append(f"{values.steps} step{'' if values.steps == 1 else 's'}")
        zh.append(f"{values.steps} 步")
    if values.guidance:
        en.append(f"guidance {values.guidance:g}")
        zh.append(f"引导 {values.guidance:g}")
    if values.n is not None:
        en.append(f"{values.n} picture{'' if values.n == 1 else 's'}")
        zh.append(f"{values.n} 张")
    if values.seed is not None and values.seed >= 0:
        en.append(f"seed {values.seed}")
        zh.append(f"种子 {values.seed}")
    return Title(en=", ".join(en), zh="，".join(zh))
