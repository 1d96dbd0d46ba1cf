"""Takes note of every launch and every picture, for whoever watches; costs microseconds each."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from mezzotint.engine.balance import Balance
from mezzotint.engine.ceilings import ceiling_tflops
from mezzotint.engine.pack import STAGES, Pack
from mezzotint.engine.record import (
    MAX_PICTURES,
    MAX_RUNS,
    DeviceReport,
    Interval,
    Mark,
    Member,
    Observation,
    Picture,
    Ring,
    Run,
    RunStage,
    observe_rings,
    picture_of,
)
from mezzotint.engine.stats import Outcome, Stats
from mezzotint.types import Recipe, Span


@dataclass(frozen=True, slots=True)
class About:
    """What a recorder says of its device."""

    name: str
    precision: str
    clock: Literal["host", "device"]
    memory_bytes: Callable[[], dict[str, int]]  # asked at each observation


@dataclass(slots=True)
class _Request:
    recipe: Recipe
    step_tflop: float
    submitted_s: float
    step: int = 0


@dataclass(slots=True)
class Recorder:
    """Written by the engine's threads, read by any."""

    about: About
    stats: Stats = field(default_factory=Stats)
    _now: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: dict[int, _Request] = field(default_factory=dict)
    _runs: Ring[Run] = field(default_factory=lambda: Ring(MAX_RUNS))
    _pictures: Ring[Picture] = field(default_factory=lambda: Ring(MAX_PICTURES))
    _launches: Counter[RunStage] = field(default_factory=Counter)
    _replays: Counter[RunStage] = field(default_factory=Counter)
    _packs: Counter[int] = field(default_factory=Counter)
    _busy_s: dict[RunStage, float] = field(default_factory=dict)
    _ahead: dict[RunStage, deque[float]] = field(init=False)  # when launched; not known to have run
    _last_s: dict[RunStage, float] = field(default_factory=dict)  # a stage runs in order
    _writing: dict[int, float] = field(default_factory=dict)  # requests whose file is made
    _balance: Balance = field(init=False)

    def __post_init__(self) -> None:
        self._balance = Balance(self._now())
        self._ahead = {stage: deque() for stage in STAGES}

    def arrived(self, request: int, recipe: Recipe, step_tflop: float, submitted_s: float) -> None:
        """A request is in the engine."""
        with self._lock:
            self._open[request] = _Request(recipe, step_tflop, submitted_s)
            self._balance.flight(submitted_s, 1)

    def launching(self, pack: Pack) -> None:
        """A pack is about to be launched: its run cannot begin before now."""
        with self._lock:
            self._ahead[pack.stage].append(self._now())

    def lost(self, pack: Pack) -> None:
        """The oldest launch of its stage broke."""
        with self._lock:
            self._ahead[pack.stage].popleft()

    def ran(self, pack: Pack, interval: Interval, replayed: bool) -> None:
        """The oldest launch of its stage has run."""
        with self._lock:
            self._ahead[pack.stage].popleft()
            self._last_s[pack.stage] = interval.end
            if pack.stage == "denoise":
                self._packs[len(pack.requests)] += 1
            self._note(pack.stage, pack.requests, interval, replayed)

    def writing(self, request: int) -> None:
        """A picture's file is about to be made."""
        with self._lock:
            self._writing[request] = self._now()

    def wrote(self, request: int, interval: Interval) -> None:
        """A picture's file was made."""
        with self._lock:
            self._writing.pop(request, None)
            self._note("file", (request,), interval, replayed=False)

    def ended(self, request: int, outcome: Outcome, spans: Iterable[Span] = ()) -> None:
        """A request is out of the engine; only once counts."""
        with self._lock:
            found = self._open.pop(request, None)
            self._writing.pop(request, None)
            self.stats.record(outcome, spans)
            if found is None:
                return
            now = self._now()
            self._balance.flight(now, -1)
            when_s = (found.submitted_s, now)
            self._pictures.add(
                picture_of(request, outcome, found.recipe, found.step_tflop, spans, when_s)
            )
            self._balance.settle_some(self._frontier)

    def observe(self, after: Mark) -> Observation:
        """What has come since `after`."""
        with self._lock:
            self._balance.settle(self._frontier())
            return observe_rings(after, self._runs, self._pictures, (self._report(),))

    def _report(self) -> DeviceReport:
        return DeviceReport(
            device=0,
            name=self.about.name,
            precision=self.about.precision,
            clock=self.about.clock,
            launches=dict(self._launches),
            replays=dict(self._replays),
            packs=dict(self._packs),
            busy_s=dict(self._busy_s),
            causes_s=dict(self._balance.seconds),
            memory_bytes=self.about.memory_bytes(),
            ceiling_tflops=ceiling_tflops(self.about.name, self.about.precision),
        )

    def _note(
        self, stage: RunStage, requests: tuple[int, ...], interval: Interval, replayed: bool
    ) -> None:
        self._launches[stage] += 1
        self._replays[stage] += replayed
        self._busy_s[stage] = self._busy_s.get(stage, 0.0) + interval.end - interval.start
        self._balance.ran(stage, interval.start, interval.end)
        members = tuple(self._member(r, stage) for r in requests if r in self._open)
        self._runs.add(Run(stage, interval.start, interval.end, replayed, members))

    def _member(self, request: int, stage: RunStage) -> Member:
        known = self._open[request]
        known.step += stage == "denoise"
        recipe = known.recipe
        return Member(request, known.step, recipe.steps, recipe.width, recipe.height)

    def _frontier(self) -> float:
        """The moment before which nothing is unknown: launches ahead begin after it."""
        starts = [
            max(launched[0], self._last_s.get(stage, 0.0))
            for stage, launched in self._ahead.items()
            if launched
        ]
        return min([self._now(), *starts, *self._writing.values()])
