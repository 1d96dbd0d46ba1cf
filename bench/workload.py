"""What is measured end to end: sizes, steps, guidance, and how many pictures at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

REST_S = 0.5  # between pictures: straight after another one, clocks are lower


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


SINGLE = (
    Workload("1024px-8", 1024, 1024, 8, 0.0, 7),
    Workload("512px-8", 512, 512, 8, 0.0, 9),
    Workload("1024px-40-guided", 1024, 1024, 40, 4.0, 2, warm_steps=3),
)
AT_ONCE = tuple(
    Workload(f"512px-8-x{count}", 512, 512, 8, 0.0, 3, at_once=count, warm_steps=3)
    for count in (1, 2, 4, 8, 16)
)
FOUR = Workload("1024px-40-guided-x4", 1024, 1024, 40, 4.0, 1, at_once=4, warm_steps=3)
WORKLOADS = (*SINGLE, *AT_ONCE, FOUR)


def prompt(number: int) -> str:
    """Prompts of one length in tokens, all different, so that no cache of prompts answers."""
    return (
        "a red apple next to a blue car on green grass under a yellow sun and two white clouds, "
        f"flat icon of a cat, a dog, a fish, a house and a tree, number {number:04d}"
    )
