"""What took how long; the one place that names timings."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

from mezzotint.types import Span

Outcome = Literal["finished", "failed", "cancelled"]

_HISTORY = 1024  # pictures; their stage totals only


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot: counts since the start, medians over the last 1024 pictures."""

    waiting: int
    running: int
    outcomes: dict[Outcome, int]
    stage_ms: dict[str, float]  # median over pictures of each stage's total
    clock: Literal["host", "device"]


def after_wait(waited_ms: float, spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans that began when a wait was over, counted from its begin, and the wait before them."""
    moved = (replace(span, start_ms=span.start_ms + waited_ms) for span in spans)
    return (Span("queue", 0.0, waited_ms), *moved)


@dataclass(slots=True)
class Timeline:
    """One request's spans, on a clock that starts at its submission."""

    submitted: float  # seconds, host's monotonic clock
    spans: list[Span] = field(default_factory=list)

    def add(self, stage: str, start: float, end: float) -> None:
        self.spans.append(Span(stage, (start - self.submitted) * 1e3, (end - start) * 1e3))

    def queued_until(self, start: float) -> None:
        self.add("queue", self.submitted, max(start, self.submitted))


@dataclass(slots=True)
class Stats:
    """Counts and a ring of stage totals, whose medians are ready whenever they are asked for."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    _totals: deque[dict[str, float]] = field(default_factory=deque)
    _sorted: dict[str, list[float]] = field(default_factory=dict)  # by stage, of those totals

    def record(self, outcome: Outcome, spans: Iterable[Span] = ()) -> None:
        self.outcomes[outcome] += 1
        if outcome != "finished":
            return
        self._totals.append(stage_totals(spans))
        for stage, length in self._totals[-1].items():
            insort(self._sorted.setdefault(stage, []), length)
        if len(self._totals) > _HISTORY:
            for stage, length in self._totals.popleft().items():
                lengths = self._sorted[stage]
                del lengths[bisect_left(lengths, length)]

    def stage_ms(self) -> dict[str, float]:
        # Copied, since another thread may record meanwhile.
        stages = [(stage, lengths.copy()) for stage, lengths in list(self._sorted.items())]
        return {stage: median(lengths) for stage, lengths in stages if lengths}


def stage_totals(spans: Iterable[Span]) -> dict[str, float]:
    """Milliseconds of each stage, in order of first appearance."""
    totals: dict[str, float] = defaultdict(float)
    for span in spans:
        totals[span.stage] += span.length_ms
    return dict(totals)


def picture_stages(spans: Iterable[Span]) -> dict[str, float]:
    """Milliseconds of each stage, and of the gaps between them as "wait": for a turn, for a hand.

    Together they are the time from the submission to the file's last byte.
    """
    spans = sorted(spans, key=lambda span: span.start_ms)
    covered_ms = gaps_ms = 0.0
    for span in spans:
        gaps_ms += max(0.0, span.start_ms - covered_ms)
        covered_ms = max(covered_ms, span.start_ms + span.length_ms)
    return stage_totals(spans) | {"wait": gaps_ms}
