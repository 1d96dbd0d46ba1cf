"""How many pictures a runner is given at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

AHEAD = 2  # requests an engine is given beyond its slots, so that a free slot never waits


@dataclass(frozen=True, slots=True)
class Capacity:
    """More pictures than these would only wait in the runner, past every priority.

    Of small ones it may be given more, where those share forwards.
    """

    pictures: int
    small: int = 0
    small_tflop: float = 0.0  # a step of the largest small picture

    def has_room(self, running: Collection[float]) -> bool:
        """Whether another can start beside pictures whose steps take so many TFLOP."""
        if len(running) < self.pictures:
            return True
        return len(running) < self.small and all(cost <= self.small_tflop for cost in running)

    def times(self, runners: int) -> Capacity:
        """That of several."""
        return Capacity(self.pictures * runners, self.small * runners, self.small_tflop)
