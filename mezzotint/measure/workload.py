"""What is measured end to end: a size, steps, guidance, and how many pictures at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

from mezzotint.types import Request


@dataclass(frozen=True)
class Workload:
    """One kind of request."""

    name: str
    width: int
    height: int
    steps: int
    guidance: float  # diffusers' meaning
    repeats: int = 1
    at_once: int = 1  # pictures asked for together
    warm_steps: int | None = None  # of a warm-up, where all steps would take long

    @property
    def warm(self) -> Workload:
        """The same shapes, as few steps as warming them up needs."""
        return replace(self, steps=self.warm_steps or self.steps)


def prompt(number: int) -> str:
    """Prompts of one length in tokens, all different, so that no cache of prompts answers."""
    return (
        "a red apple next to a blue car on green grass under a yellow sun and two white clouds, "
        f"flat icon of a cat, a dog, a fish, a house and a tree, number {number:04d}"
    )


def new_prompts() -> Iterator[str]:
    """Prompts that no cache has seen."""
    return (prompt(number) for number in count())


def request_of(text: str, workload: Workload, seed: int = 0) -> Request:
    """What the engine is asked for."""
    return Request(
        prompt=text,
        width=workload.width,
        height=workload.height,
        steps=workload.steps,
        guidance=workload.guidance,
        seed=seed,
    )
