"""How far two precisions of one model are apart, over many prompts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mezzotint.engine.engine import Engine
from mezzotint.engine.unheld import give_back
from mezzotint.images.fidelity import psnr_db, ssim
from mezzotint.types import Request

_IN_FLIGHT = 16
OnPicture = Callable[[], None]


@dataclass(frozen=True)
class Pair:
    """One prompt made in both precisions."""

    prompt: str
    psnr_db: float  # infinite: the same bytes
    ssim: float


@dataclass(frozen=True)
class Comparison:
    """All prompts."""

    pairs: tuple[Pair, ...]

    @property
    def worst(self) -> Pair:
        """The prompt of the lowest PSNR."""
        return min(self.pairs, key=lambda pair: pair.psnr_db)

    def row(self) -> dict[str, float | int | None]:
        """Medians and worst; None for the PSNR of equal pictures, which JSON cannot say."""
        values = {
            "median_psnr_db": statistics.median(pair.psnr_db for pair in self.pairs),
            "worst_psnr_db": self.worst.psnr_db,
            "median_ssim": statistics.median(pair.ssim for pair in self.pairs),
            "worst_ssim": min(pair.ssim for pair in self.pairs),
        }
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        return {"prompts": len(self.pairs), **finite}


def compare(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    prompts: Sequence[str],
    choices: Mapping[str, Any],
    on_picture: OnPicture = lambda: None,
) -> Comparison:
    """Make every prompt with two engines, one after the other, seeds 0 and up.

    a, b: options of the engines, as `Engine` takes them; choices: fields of Request that all
    pictures share. on_picture is called after each of the 2 x len(prompts) pictures.
    """
    right, other = (draw(options, prompts, choices, on_picture) for options in (a, b))
    return compare_pictures(prompts, right, other)


def compare_pictures(
    prompts: Sequence[str], a: Sequence[np.ndarray], b: Sequence[np.ndarray]
) -> Comparison:
    """Hold the pictures of each prompt against each other."""
    return Comparison(
        tuple(
            Pair(prompt, psnr_db(x, y), ssim(x, y))
            for prompt, x, y in zip(prompts, a, b, strict=True)
        )
    )


def draw(
    options: Mapping[str, Any],
    prompts: Sequence[str],
    choices: Mapping[str, Any],
    on_picture: OnPicture = lambda: None,
) -> list[np.ndarray]:
    """Make a picture [H, W, 3] of every prompt with an engine of its own, seeds 0 and up."""
    pictures = []
    with Engine(**options) as engine:
        requests = [
            Request(prompt=prompt, seed=seed, **choices) for seed, prompt in enumerate(prompts)
        ]
        for first in range(0, len(requests), _IN_FLIGHT):
            for ticket in engine.submit_all(requests[first : first + _IN_FLIGHT]):
                pictures.append(ticket.result().pixels)
                on_picture()
    give_back()
    return pictures
