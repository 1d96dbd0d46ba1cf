"""How fast pictures are made, all workers together; pure, with the clock passed in."""

from __future__ import annotations

from dataclasses import dataclass

_KEEP = 0.9  # of what was known, when a picture is finished


@dataclass(slots=True)
class Rate:
    """Seconds that a TFLOP takes, a running mean over finished pictures."""

    _seconds: float = 0.0
    _tflop: float = 0.0
    _last: float = 0.0  # when work began, or a picture was last finished

    def begin(self, now: float) -> None:
        """Work was given where there was none."""
        self._last = now

    def finished(self, tflop: float, now: float) -> None:
        """A picture of that cost is finished."""
        self._seconds = _KEEP * self._seconds + now - self._last
        self._tflop = _KEEP * self._tflop + tflop
        self._last = now

    def seconds(self, tflop: float) -> float | None:
        """How long so much takes; None while nothing is known."""
        return self._seconds / self._tflop * tflop if self._tflop > 0 else None
