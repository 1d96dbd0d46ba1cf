"""Settings over HTTP, for admins: an allow-list of what may change of a running server."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field, WithJsonSchema

from mezzotint.server.errors import invalid
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.knobs import KNOBS, Kind, Knob, Value
from mezzotint.server.presets_api import Title
from mezzotint.server.schema import ERRORS
from mezzotint.server.security import need_admin
from mezzotint.server.tuning import SettingError, Tuning

# Each setting judges its own: a union would speak of a number to whom a text was too long.
_Value = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})]
_Changes = Annotated[
    dict[str, _Value],
    Body(
        min_length=1,
        max_length=len(KNOBS),
        description="New values by name, within each one's own bounds; all are changed or none.",
        examples=[{"max_queue": 128, "keep_days": 30}],
    ),
]


class SettingInfo(BaseModel):
    """One setting."""

    name: str = Field(description="The setting's name.")
    value: Value = Field(description="What holds, or will from the next start on.")
    active: Value = Field(description="What holds now.")
    default: Value = Field(description="What holds where nothing was said.")
    live: bool = Field(description="true: a change counts at once; false: at the next start.")
    fixed: bool = Field(description="Given when the server was started: cannot be changed here.")
    kind: Kind = Field(description="What values it takes.")
    min: float | None = Field(description="Least number.")
    max: float | None = Field(description="Greatest number; of a text, its characters.")
    choices: list[str] = Field(description="All values of a choice.")
    about: Title


class SettingList(BaseModel):
    """All that may be changed."""

    settings: list[SettingInfo] = Field(description="All that may be changed.")


def settings_router(tuning: Tuning) -> APIRouter:
    """/api/v1/settings; plain functions: a change is on the disk before it is answered."""
    responses: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1/settings", tags=["settings"], responses=responses)

    @router.get("", summary="List settings (admin)")
    def list_settings(http: Request) -> SettingList:
        need_admin(http)
        return _shown(tuning)

    @router.patch("", summary="Change settings (admin)", dependencies=[JSON_ONLY])
    def change_settings(changes: _Changes, http: Request) -> SettingList:
        need_admin(http)
        try:
            tuning.change(changes)
        except SettingError as error:
            raise invalid(str(error), error.name) from error
        return _shown(tuning)

    return router


def _shown(tuning: Tuning) -> SettingList:
    return SettingList(settings=[_info(knob, tuning) for knob in KNOBS])


def _info(knob: Knob, tuning: Tuning) -> SettingInfo:
    return SettingInfo(
        name=knob.name,
        value=tuning.chosen(knob),
        active=tuning.active(knob),
        default=knob.default,
        live=knob.live,
        fixed=tuning.is_fixed(knob),
        kind=knob.kind,
        min=knob.min,
        max=knob.max,
        choices=list(knob.choices),
        about=Title(en=knob.en, zh=knob.zh),
    )
