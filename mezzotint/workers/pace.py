"""How long may a worker be silent? Judged by its own history; pure, with the clock passed in."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from statistics import median

_HISTORY = 64  # gaps kept of each stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a worker is given up, and how it is replaced; seconds."""

    silence_factor: float = 10.0  # times the median step
    silence_s: float = 10.0  # at least
    first_picture_s: float = 300.0  # until one was finished: kernels are compiled on the way
    load_s: float = 900.0
    load_failures: int = 3  # in a row while loading: the worker is given up
    backoff_s: float = 0.5  # before a restart; doubles with every failure
    max_backoff_s: float = 30.0
    close_s: float = 5.0  # to exit when asked to


@dataclass(slots=True)
class Pace:
    """Gaps between signs of work, by stage; only work counts, never a mere sign of life."""

    policy: Policy
    last: float = 0.0  # when work began or last moved on
    finished: int = 0
    _gaps: dict[str, deque[tuple[float, float]]] = field(  # (seconds, TFLOP of the request's step)
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_HISTORY))
    )

    def begin(self, now: float) -> None:
        """Work was given to a worker that had none."""
        self.last = now

    def note(self, stage: str, cost: float, now: float) -> None:
        """A request whose steps cost that many TFLOP moved on in this stage."""
        self._gaps[stage].append((now - self.last, cost))
        self.last = now

    def patience(self, cost: float) -> float:
        """Seconds of silence to bear while the dearest running request's step costs this."""
        if self.finished == 0:
            return self.policy.first_picture_s
        # A dearer request may take longer than any seen; a cheaper one need not be quicker, as
        # encoding a prompt takes its time whatever the size.
        medians = [
            median(gap * max(1.0, cost / seen if seen else 1.0) for gap, seen in gaps)
            for gaps in self._gaps.values()
        ]
        return max(self.policy.silence_s, self.policy.silence_factor * max(medians, default=0.0))
