"""A worker's program that pretends to draw: pictures of the right size after the right time.

`python bench/fake_worker.py --fd N`, started by a pool. Its configuration is a FakeDevice in JSON.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fake_runner import LIMITS, SPEC, FakeRunner  # noqa: E402

from mezzotint.models.spec import ModelSpec  # noqa: E402
from mezzotint.types import Recipe  # noqa: E402
from mezzotint.workers.process import main  # noqa: E402

STEPS = 9  # and one for the encoding


class FakeDevice(msgspec.Struct, frozen=True):
    """What it pretends to be."""

    picture_s: float = 0.05
    side: int = 1024  # px, of a picture whose size was not asked
    slots: int = 1  # pictures side by side; 1: one after the other, as at a device's limit


def spec_of(device: FakeDevice) -> ModelSpec:
    """The fake model, up to 1024 px a side."""
    limits = replace(LIMITS, max_side=1024, max_pixels=1024 * 1024)
    shapes = replace(SPEC.slot_shapes, latent_tokens=64 * 64, pixels=1024 * 1024)
    sizes = ((device.side, device.side),)
    return replace(
        SPEC, limits=limits, slot_shapes=shapes, sizes=sizes, steps=STEPS, guidance=0.0, presets=()
    )


def runner_of(device: FakeDevice) -> FakeRunner:
    """A runner whose pictures take `picture_s` on the device, and what their files take beside."""
    return FakeRunner(
        device.picture_s / (STEPS + 1),
        slots=max(device.slots, 4),
        spec=spec_of(device),
        draw=draw,
        one_device=device.slots == 1,
    )


def draw(recipe: Recipe) -> np.ndarray:
    """A scene with a camera's grain, whose file is as large as a photograph's: 1.3 MB at 1024 px.

    The seed moves it, so that no two pictures are the same and none is costly to draw.
    """
    return np.roll(_scene(recipe.width, recipe.height), recipe.seed % recipe.width, axis=1)


@cache
def _scene(width: int, height: int) -> np.ndarray:
    x = np.linspace(0, 128, width)[None, :, None]
    y = np.linspace(0, 77, height)[:, None, None]
    grain = np.random.default_rng(0).normal(0.0, 1.0, (height, width, 3))
    return np.clip(x + y + np.array([10, 40, 50]) + grain, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main(lambda text, _: runner_of(msgspec.json.decode(text, type=FakeDevice)))
