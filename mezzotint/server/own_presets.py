"""Presets that callers keep themselves, where a call names one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from mezzotint.jobs import presets
from mezzotint.jobs.database import Database
from mezzotint.jobs.presets import Choices
from mezzotint.server.job_schema import JobCall
from mezzotint.server.schema import GenerationRequest, StepBounds
from mezzotint.types import StepRange

_STEPS = {"steps", "num_inference_steps"}
_GUIDANCE = {"guidance_scale", "true_cfg_scale", "cfg_scale"}


def find_own(database: Database | None, name: str | None, http: Request) -> Choices | None:
    """What the caller's own preset decides; None where they keep none of that name."""
    if name is None or database is None:
        return None
    kept = database.read(presets.find, http.state.caller.key_id, name)
    return None if kept is None else kept.choices


def fill_job(call: JobCall, own: Choices) -> JobCall:
    """The call, and where it leaves something open what the preset decides."""
    given = _given(call)
    if given & {"width", "height"}:  # a size is one choice
        given |= {"width", "height"}
    chosen = {name: value for name, value in _values(own).items() if name not in given}
    return call.model_copy(update=chosen)


def fill_call(call: GenerationRequest, own: Choices) -> GenerationRequest:
    """The same of OpenAI's call, but for the file's format, which its headers decide too.

    It names no preset any more. Steps stay open where a quality counts them from the preset's.
    """
    given, values = _given(call), _values(own)
    same = {"negative_prompt", "seed", "n"} - given
    chosen: dict[str, Any] = {name: value for name, value in values.items() if name in same}
    if own.width is not None and call.size in (None, "auto"):
        chosen["size"] = f"{own.width}x{own.height}"
    if call.quality in (None, "auto") and not given & _STEPS:
        chosen["steps"] = values.get("steps")
    if not given & _GUIDANCE:
        chosen["guidance_scale"] = own.guidance
    return call.model_copy(update=chosen | {"preset": None})


def own_steps(own: Choices) -> int | None:
    """The steps that a preset means, the most of a range."""
    return own.steps.max if isinstance(own.steps, StepRange) else own.steps


def _given(call: BaseModel) -> set[str]:
    return {name for name in call.model_fields_set if getattr(call, name) is not None}


def _values(own: Choices) -> dict[str, Any]:
    """What is decided, in a call's types."""
    ranged = isinstance(own.steps, StepRange)
    values = {
        "negative_prompt": own.negative_prompt,
        "width": own.width,
        "height": own.height,
        "steps": StepBounds.model_validate(own.steps) if ranged else own.steps,
        "guidance": own.guidance,
        "seed": own.seed,
        "n": own.n,
        "format": own.format,
    }
    return {name: value for name, value in values.items() if value is not None}
