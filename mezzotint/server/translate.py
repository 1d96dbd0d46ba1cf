"""From an API call to the engine's requests: the one place where other programs' words end."""

from __future__ import annotations

from collections.abc import Sequence

from mezzotint.models.recipe import series
from mezzotint.models.spec import ModelSpec
from mezzotint.samplers import flow_sigmas
from mezzotint.server.errors import ApiError, invalid
from mezzotint.server.knobs import Live
from mezzotint.server.open_steps import with_open_steps
from mezzotint.server.schema import (
    GenerationRequest,
    Quality,
    ReportedQuality,
    fixed_steps,
    steps_range,
)
from mezzotint.size import parse_size
from mezzotint.types import Format, Recipe, Request

_STEPS_RATIO: dict[Quality, float] = {
    "low": 0.5,
    "medium": 0.75,
    "high": 1.0,
    "xhigh": 1.5,
    "max": 2.0,
    "auto": 1.0,
    "standard": 1.0,
    "hd": 1.0,
}
_REPORTED: tuple[ReportedQuality, ...] = ("max", "xhigh", "high", "medium", "low")


def served_names(spec: ModelSpec, aliases: Sequence[str]) -> tuple[str, ...]:
    """The names a client may use: the model's own, then the aliases."""
    return tuple(dict.fromkeys((spec.name, *aliases)))


def check_model(asked: str | None, names: Sequence[str]) -> None:
    """ApiError 404 for a model that is not served; case does not matter."""
    if asked is None or asked.lower() in {name.lower() for name in names}:
        return
    message = f"this server has no model of that name; it has {', '.join(names)}"
    raise ApiError(404, message, code="model_not_found", param="model")


def to_requests(
    call: GenerationRequest,
    spec: ModelSpec,
    base_steps: int,
    format: Format,
    live: Live,
) -> list[Request]:
    """One engine request a picture, with consecutive seeds; RequestError beyond the limits.

    `base_steps` is what a quality counts from.
    """
    _check_shift(call, spec)
    width, height = _size(call)
    request = Request(
        prompt=call.prompt,
        negative_prompt=call.negative_prompt or "",
        width=width,
        height=height,
        steps=_steps(call, spec, base_steps),
        steps_range=steps_range(call.steps),
        guidance=_guidance(call, spec),
        seed=call.seed,
        preset=call.preset,
        previews=call.partial_images or 0,
        format=format,
        metadata=live.metadata,
    )
    return series(with_open_steps(request, live.open_steps), call.n or 1, spec)


def reported_quality(recipe: Recipe, base_steps: int, spec: ModelSpec) -> ReportedQuality:
    """The best quality whose steps a recipe has."""
    return next((q for q in _REPORTED if recipe.steps >= _scaled(base_steps, q, spec)), "low")


def base_steps_of(preset: str | None, spec: ModelSpec) -> int:
    """The steps of the model's preset of that name, or else the model's."""
    return next((p.steps for p in spec.presets if preset in (p.key, p.zh, p.en)), spec.steps)


def image_tokens(recipe: Recipe, spec: ModelSpec) -> int:
    """Latent tokens of a picture."""
    shapes = spec.slot_shapes
    return recipe.width * recipe.height * shapes.latent_tokens // shapes.pixels


def _size(call: GenerationRequest) -> tuple[int, int] | tuple[None, None]:
    return (None, None) if call.size in (None, "auto") else parse_size(str(call.size))


def _steps(call: GenerationRequest, spec: ModelSpec, base_steps: int) -> int | None:
    if call.steps and call.num_inference_steps:
        raise invalid("steps and num_inference_steps are one thing; give one", "steps")
    steps = call.steps or call.num_inference_steps
    quality = call.quality or "auto"
    if quality == "auto":
        return fixed_steps(steps)
    if steps:
        raise invalid("quality and steps both decide the steps; give one", "quality")
    return _scaled(base_steps, quality, spec)


def _scaled(steps: int, quality: Quality, spec: ModelSpec) -> int:
    return min(max(round(steps * _STEPS_RATIO[quality]), 1), spec.limits.max_steps)


def _guidance(call: GenerationRequest, spec: ModelSpec) -> float | None:
    """In diffusers' meaning, g = CFG - 1, which is the engine's."""
    given = {
        "guidance_scale": call.guidance_scale,
        "true_cfg_scale": from_cfg("true_cfg_scale", call.true_cfg_scale, spec),
        "cfg_scale": from_cfg("cfg_scale", call.cfg_scale, spec),
    }
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1:
        raise invalid(f"{' and '.join(named)} are one thing; give one", next(iter(named)))
    return next(iter(named.values()), None)


def from_cfg(name: str, weight: float | None, spec: ModelSpec) -> float | None:
    """Guidance of a CFG weight, which other programs count by; ApiError beyond the limit."""
    if weight is None:
        return None
    most = spec.limits.max_guidance + 1.0
    if weight > most:
        raise invalid(f"{name} {weight:g} is out of range; give 1 (off) to {most:g}", name)
    return weight - 1.0


def _check_shift(call: GenerationRequest, spec: ModelSpec) -> None:
    # Two steps: the first noise level is 1 at any shift.
    if call.flow_shift is None or flow_sigmas(2, call.flow_shift) == spec.sigmas(2):
        return
    raise invalid("flow_shift is not this model's; leave it out to use the model's", "flow_shift")
