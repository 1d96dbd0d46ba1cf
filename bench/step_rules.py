"""What the server's policy of steps is compared with: no policy, and a rule of two utilisations."""

from __future__ import annotations

from dataclasses import dataclass

from mezzotint.jobs.steps import Moment
from mezzotint.types import StepRange


@dataclass(frozen=True, slots=True)
class AsAsked:
    """No policy."""

    def choose(self, bounds: StepRange, asked: int, moment: Moment) -> int:
        return _within(asked, bounds)


@dataclass(frozen=True, slots=True)
class ByUtilisation:
    """A fixed factor at each of two utilisations, for comparison: it looks at no queue."""

    high: float = 0.85
    low: float = 0.40

    def choose(self, bounds: StepRange, asked: int, moment: Moment) -> int:
        if moment.busy > self.high:
            return _within(int(0.7 * asked), bounds)
        if moment.busy < self.low:
            return _within(int(1.2 * asked), bounds)
        return _within(asked, bounds)


def _within(steps: int, bounds: StepRange) -> int:
    return min(max(steps, bounds.min), bounds.max)
