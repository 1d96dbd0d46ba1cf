"""From what was asked to what is made: defaults filled in, every value checked."""

from __future__ import annotations

import math
import operator
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from numbers import Real
from typing import Any, TypeVar, get_args

from mezzotint.models.spec import Limits, ModelSpec, Preset
from mezzotint.types import (
    MAX_SEED,
    Format,
    MetadataLevel,
    Recipe,
    Request,
    RequestError,
    StepRange,
)

MAX_PREVIEWS = 120
_RANDOM_SEED_BITS = 32  # short enough to retype; the range other programs show
_T = TypeVar("_T")


def resolve(request: Request, spec: ModelSpec) -> Recipe:
    """Decide everything a request left open: its own values, then its preset's, then the model's.

    RequestError names the value, the limit and the remedy.
    """
    if not isinstance(request, Request):
        raise RequestError(f"{request!r} is no Request; give mezzotint.Request(prompt=...)")
    _check_choice("format", request.format, get_args(Format))
    _check_choice("metadata", request.metadata, get_args(MetadataLevel))
    if not isinstance(request.empty_prompt, bool):
        raise RequestError(f"empty_prompt {request.empty_prompt!r} is no bool; give True or False")
    preset = _find_preset(request.preset, spec)
    width, height = _size(request, preset, spec)
    steps = _steps(request, preset, spec)
    guidance = _first(request.guidance, preset.guidance if preset else None, spec.guidance)
    _check_size(width, height, spec.limits)
    _check_previews(request.previews)
    _check_guidance(request, guidance, spec.limits)
    _check_prompts(request, guidance)
    return Recipe(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        steps=steps,
        guidance=float(guidance),
        guidance_rescale=float(request.guidance_rescale),
        guidance_truncation=float(request.guidance_truncation),
        seed=_seed(request.seed, preset),
    )


def series(request: Request, n: int, spec: ModelSpec) -> list[Request]:
    """n requests like this one, with consecutive seeds from its own (drawn if it is random)."""
    if _integer("n", n) < 1:
        raise RequestError(f"n is {n}; ask for at least 1 picture")
    first = resolve(request, spec).seed
    return [replace(request, seed=first + i) for i in range(n)]


def preview_steps(steps: int, previews: int) -> frozenset[int]:
    """The steps, from 1, after which to look: the first one, then evenly, never the last."""
    wanted = min(previews, steps - 1)
    return frozenset(1 + i * (steps - 1) // wanted for i in range(wanted))


def _first(asked: _T | None, preset: _T | None, default: _T) -> _T:
    if asked is not None:
        return asked
    return default if preset is None else preset


def _find_preset(key: str | None, spec: ModelSpec) -> Preset | None:
    if key is None:
        return None
    for preset in spec.presets:
        if isinstance(key, str) and key in (preset.key, preset.zh, preset.en):
            return preset
    known = ", ".join(f"{preset.key} ({preset.zh})" for preset in spec.presets)
    raise RequestError(f"preset {key!r} is unknown; {spec.name} has {known}")


def _size(request: Request, preset: Preset | None, spec: ModelSpec) -> tuple[int, int]:
    if (request.width is None) != (request.height is None):
        given = "width" if request.height is None else "height"
        raise RequestError(f"only the {given} is given; give both sides, in pixels")
    default = (preset.width, preset.height) if preset else spec.sizes[0]
    width, height = (
        _first(request.width, None, default[0]),
        _first(request.height, None, default[1]),
    )
    return _integer("width", width), _integer("height", height)


def _steps(request: Request, preset: Preset | None, spec: ModelSpec) -> int:
    bounds = request.steps_range
    if bounds is None:
        steps = _first(request.steps, preset.steps if preset else None, spec.steps)
        return _checked_steps("steps", steps, spec.limits)
    if not isinstance(bounds, StepRange):
        raise RequestError(f"steps_range {bounds!r} is no range; give mezzotint.StepRange(4, 16)")
    _checked_steps("the least steps", bounds.min, spec.limits)
    most = _checked_steps("the most steps", bounds.max, spec.limits)
    if bounds.min > most:
        raise RequestError(f"steps {bounds.min} to {most} are no range; give the smaller as min")
    steps = _integer("steps", _first(request.steps, None, most))
    if not bounds.min <= steps <= most:
        raise RequestError(
            f"steps {steps} are not within {bounds.min} to {most}; give steps between them or none"
        )
    return steps


def _check_size(width: int, height: int, limits: Limits) -> None:
    for name, side in (("width", width), ("height", height)):
        if side % limits.side_multiple:
            raise RequestError(
                f"{name} {side} is not a multiple of {limits.side_multiple}; "
                f"the nearest that is: {_nearest(side, limits)}"
            )
        if not limits.min_side <= side <= limits.max_side:
            raise RequestError(
                f"{name} {side} is out of range; this model takes {limits.min_side} to "
                f"{limits.max_side} pixels a side"
            )
    if not limits.min_pixels <= width * height <= limits.max_pixels:
        raise RequestError(
            f"{width}x{height} is {width * height} pixels; this model takes {limits.min_pixels} "
            f"to {limits.max_pixels}: choose another size"
        )


def _nearest(side: int, limits: Limits) -> int:
    multiple = limits.side_multiple
    nearest = round(side / multiple) * multiple
    return min(max(nearest, limits.min_side), limits.max_side)


def _checked_steps(name: str, asked: int, limits: Limits) -> int:
    steps = _integer(name, asked)
    if not 1 <= steps <= limits.max_steps:
        raise RequestError(f"{name} {steps} is out of range; give 1 to {limits.max_steps}")
    return steps


def _check_previews(previews: int) -> None:
    if not 0 <= _integer("previews", previews) <= MAX_PREVIEWS:
        raise RequestError(f"previews {previews} is out of range; give 0 to {MAX_PREVIEWS}")


def _check_guidance(request: Request, guidance: float, limits: Limits) -> None:
    _check_number("guidance", guidance, limits.max_guidance, "0 turns it off; it is CFG - 1")
    _check_number("guidance_rescale", request.guidance_rescale, 10.0, "0 means no cap")
    _check_number("guidance_truncation", request.guidance_truncation, 1.0, "1 means never")


def _check_prompts(request: Request, guidance: float) -> None:
    for name, text in (
        ("prompt", request.prompt),
        ("negative prompt", request.negative_prompt),
    ):
        if not isinstance(text, str):
            raise RequestError(f"the {name} {text!r} is no text; give a str")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise RequestError(f"the {name} is not valid Unicode (a lone surrogate); correct it")
    if not request.prompt.strip() and not request.empty_prompt:
        raise RequestError("the prompt is empty; say what to draw")
    if request.negative_prompt and guidance == 0.0:
        raise RequestError(
            "a negative prompt needs guidance, which is 0; give a guidance above 0 or leave the "
            "negative prompt out"
        )


def _seed(asked: int | None, preset: Preset | None) -> int:
    seed = _integer("seed", _first(asked, preset.seed if preset else None, -1))
    if not -1 <= seed <= MAX_SEED:
        raise RequestError(f"seed {seed} is out of range; give 0 to {MAX_SEED}, or -1 for random")
    return secrets.randbits(_RANDOM_SEED_BITS) if seed == -1 else seed


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise RequestError(f"{name} {value!r} is unknown; give {', '.join(known)}")


def _integer(name: str, value: Any) -> int:
    """As a plain int: NumPy's are whole numbers too."""
    if not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)
    raise RequestError(f"{name} {value!r} is not a whole number; give one")


def _check_number(name: str, value: object, limit: float, meaning: str) -> None:
    number = math.nan
    if not isinstance(value, bool) and isinstance(value, Real):
        with suppress(OverflowError):  # whole numbers may be larger than any float
            number = float(value)
    if not math.isfinite(number):
        raise RequestError(f"{name} {value!r} is not a number; give one from 0 to {limit:g}")
    if not 0.0 <= number <= limit:
        raise RequestError(f"{name} {number:g} is out of range; give 0 to {limit:g} ({meaning})")
