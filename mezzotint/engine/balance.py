"""Where a device's time goes: what it did, or else what it waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from mezzotint.engine.record import CAUSES, Cause, RunStage

_Activity = Literal["denoise", "encode", "decode", "file", "flight"]
# When several things go on, the first of these owns the time: only what is left over after
# denoising makes the denoiser wait.
_ORDER: tuple[RunStage, ...] = ("denoise", "encode", "decode", "file")
_MAX_EVENTS = 512


@dataclass(slots=True)
class Balance:
    """Shares all time out, each moment to one cause, as soon as it is known what went on.

    denoise: a denoise step ran · encode, decode, file: that stage ran and no step did · host:
    nothing ran though requests were in flight · idle: none was.
    """

    settled_s: float  # everything before it is shared out
    seconds: dict[Cause, float] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0.0))
    _events: list[tuple[float, _Activity, int]] = field(default_factory=list)  # not settled yet
    _active: Counter[_Activity] = field(default_factory=Counter)

    def flight(self, at_s: float, change: int) -> None:
        """One request more (1) or less (-1) is in flight from now on."""
        self._events.append((at_s, "flight", change))

    def ran(self, stage: RunStage, start_s: float, end_s: float) -> None:
        """A stage ran from here to there."""
        self._events += ((start_s, stage, 1), (end_s, stage, -1))

    def settle(self, until_s: float) -> None:
        """Share out the time up to a moment before which nothing more can begin or end.

        An event that comes too late all the same counts from what is settled on.
        """
        if until_s <= self.settled_s:
            return
        self._events.sort(key=lambda event: event[0])
        count = 0
        for at_s, activity, change in self._events:
            if at_s > until_s:
                break
            self._advance(at_s)
            self._active[activity] += change
            count += 1
        del self._events[:count]
        self._advance(until_s)

    def settle_some(self, frontier: Callable[[], float]) -> None:
        """Settle if much has come since: nobody may be watching, and it must not pile up."""
        if len(self._events) >= _MAX_EVENTS:
            self.settle(frontier())

    def _advance(self, to_s: float) -> None:
        if to_s > self.settled_s:
            self.seconds[self._cause()] += to_s - self.settled_s
            self.settled_s = to_s

    def _cause(self) -> Cause:
        for stage in _ORDER:
            if self._active[stage] > 0:
                return stage
        return "host" if self._active["flight"] > 0 else "idle"
