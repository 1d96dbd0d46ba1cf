"""How many pictures a runner is given at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

AHEAD = 2  # requests an engine is given beyond its slots, so that a free slot never waits


@dataclass(frozen=True, slots=True)
class Capacity:
    """More pictures than these would only wait in the runner, past every priority.

    Where small ones share forwards it may be given more in all, and no more large ones.
    """

    pictures: int
    small: int = 0  # in all, the large ones among them
    small_tflop: float = 0.0  # a step of the largest small picture

    def has_room(self, running: Sequence[float]) -> bool:
        """Whether another can start beside pictures whose steps take so many TFLOP."""
        large = sum(cost > self.small_tflop for cost in running)
        return large < self.pictures and len(running) < max(self.pictures, self.small)

    def times(self, runners: int) -> Capacity:
        """That of several."""
        return Capacity(self.pictures * runners, self.small * runners, self.small_tflop)
