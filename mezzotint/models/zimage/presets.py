"""What each Z-Image model is good at: its recipe, its limits and its named scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mezzotint.models.spec import Limits, Preset
from mezzotint.models.zimage.config import TransformerConfig

Variant = Literal["turbo", "base", "small"]

_TURBO_SHIFT = 3.0
_FIXED_SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """A variant's own way of working."""

    title: str
    sizes: tuple[tuple[int, int], ...]  # (width, height), the first is the default
    steps: int
    guidance: float  # diffusers' meaning: CFG - 1
    limits: Limits
    presets: tuple[Preset, ...]


def variant_of(config: TransformerConfig, shift: float) -> Variant:
    """Tell the variants apart by content: the size of the model and its schedule's shift."""
    if config.dim < TransformerConfig().dim:
        return "small"
    return "turbo" if shift == _TURBO_SHIFT else "base"


_LIMITS = Limits(
    side_multiple=16,
    min_side=256,
    max_side=4096,
    min_pixels=512 * 512,
    max_pixels=2048 * 2048,
    max_steps=120,
    max_guidance=20.0,
    max_prompt_tokens=512,
)
_SIZES = (
    (1024, 1024),
    (1344, 768),
    (768, 1344),
    (1152, 896),
    (896, 1152),
    (1024, 576),
    (576, 1024),
    (768, 768),
    (512, 512),
)


def _scene(
    key: str, zh: str, en: str, side: int, steps: int, cfg: float, seed: int | None = None
) -> Preset:
    # The scenes are known by their CFG weight w; guidance g = w - 1 means the same picture.
    return Preset(
        key=key, zh=zh, en=en, width=side, height=side, steps=steps, guidance=cfg - 1.0, seed=seed
    )


_BASE_PRESETS = (
    _scene("quick", "快速预览", "Quick preview", 768, 15, 7.0),
    _scene("daily", "日常创作", "Everyday", 1024, 30, 7.5),
    _scene("fidelity", "高保真输出", "High fidelity", 1024, 50, 9.0, _FIXED_SEED),
    _scene("batch", "批量生产", "Batch production", 768, 20, 7.0),
)


def _restep(sides: tuple[int, ...], steps: tuple[int, ...]) -> tuple[Preset, ...]:
    """The same four scenes at other sizes and steps, without guidance."""
    return tuple(
        replace(preset, width=side, height=side, steps=count, guidance=0.0)
        for preset, side, count in zip(_BASE_PRESETS, sides, steps, strict=True)
    )


DEFAULTS: dict[Variant, Defaults] = {
    "turbo": Defaults(
        title="Z-Image-Turbo",
        sizes=_SIZES,
        steps=8,
        guidance=0.0,
        limits=_LIMITS,
        presets=_restep((768, 1024, 1024, 768), (4, 8, 8, 8)),
    ),
    "base": Defaults(
        title="Z-Image",
        sizes=_SIZES,
        steps=50,
        guidance=4.0,
        limits=_LIMITS,
        presets=_BASE_PRESETS,
    ),
    "small": Defaults(
        title="mezzotint-small",
        sizes=((128, 128), (144, 96), (96, 144), (176, 96), (96, 176)),  # all it was trained on
        steps=8,
        guidance=0.0,
        limits=replace(
            _LIMITS, min_side=96, max_side=192, min_pixels=96 * 96, max_pixels=192 * 192
        ),
        presets=_restep((128, 128, 128, 128), (4, 8, 20, 8)),
    ),
}
