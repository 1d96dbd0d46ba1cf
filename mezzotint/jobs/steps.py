"""How many steps does this moment allow? A pure policy and a meter, with the clock passed in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from mezzotint.types import StepRange

_WEIGHT = 0.1  # of the newest picture in the running mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a policy knows of the load."""

    now_s: float  # any monotonic clock
    queue_s: float  # how long what was accepted will keep the devices busy
    busy: float  # share of the last seconds in which the denoise stage worked, 0 to 1


class StepPolicy(Protocol):
    def choose(self, bounds: StepRange, asked: int, moment: Moment) -> int:
        """Steps for a picture within `bounds`; `asked` is what it takes without any policy."""
        ...


@dataclass(slots=True)
class ByQueue:
    """Steps follow the wait between two lines; between the lines they stay as they are.

    The wait in multiples of `target_s` caps the steps: all of them up to 1, the fewest from 2 on.
    They fall to that cap at once. They rise again only up to a second line, half a target lower:
    by the whole range in `rise_s` where the device has time to spare, half as fast where it has
    none. So a wait that wavers by less than half a target changes nothing.
    """

    target_s: float
    rise_s: float = 30.0
    full: float = 0.9  # the busy share above which the device has no time to spare
    _level: float = 1.0  # 0: the fewest steps of a range, 1: the most
    _seen_s: float | None = None

    def choose(self, bounds: StepRange, asked: int, moment: Moment) -> int:
        wait = moment.queue_s / self.target_s
        cap, floor = _clamp(2.0 - wait), _clamp(1.5 - wait)
        passed_s = 0.0 if self._seen_s is None else moment.now_s - self._seen_s
        self._seen_s = moment.now_s
        if self._level > cap:
            self._level = cap
        elif self._level < floor:
            rise_s = self.rise_s if moment.busy <= self.full else 2.0 * self.rise_s
            self._level = min(floor, self._level + passed_s / rise_s)
        return bounds.min + round(self._level * (bounds.max - bounds.min))


@dataclass(slots=True)
class LoadMeter:
    """From the ends of pictures and the denoise stage's busy time to a Moment."""

    window_s: float = 10.0  # over which the busy share is taken
    _picture_s: float | None = None  # seconds a picture, with all devices at work
    _turned_s: float = 0.0  # when the last picture ended, or the first came after a rest
    _busy: deque[tuple[float, float]] = field(default_factory=deque)  # (now, busy seconds so far)

    def begin(self, now_s: float) -> None:
        """A picture came where there was none."""
        self._turned_s = now_s

    def made(self, now_s: float) -> None:
        """A picture is finished."""
        gap = now_s - self._turned_s
        self._turned_s = now_s
        mean = gap if self._picture_s is None else self._picture_s
        self._picture_s = mean + _WEIGHT * (gap - mean)

    def moment(self, pending: int, busy_s: float, now_s: float) -> Moment:
        """The load with so many pictures accepted and not ended.

        `busy_s` is the denoise stage's busy time since any start, the mean of all devices.
        """
        if self._busy and busy_s < self._busy[-1][1]:
            self._busy.clear()  # another runner, which counts from its own start
        self._busy.append((now_s, busy_s))
        while len(self._busy) > 2 and self._busy[1][0] <= now_s - self.window_s:
            self._busy.popleft()
        since_s, before_s = self._busy[0]
        share = (busy_s - before_s) / (now_s - since_s) if now_s > since_s else 0.0
        queue_s = pending * (self._picture_s or 0.0)
        return Moment(now_s=now_s, queue_s=queue_s, busy=_clamp(share))


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)
