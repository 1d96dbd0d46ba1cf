"""What all workers of a pool tell of their work, as one observation."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mezzotint.engine.record import (
    MAX_PICTURES,
    MAX_RUNS,
    DeviceReport,
    Mark,
    Observation,
    Picture,
    Ring,
    Run,
    observe_rings,
)
from mezzotint.workers.frames import Observed

Key = TypeVar("Key")
Number = TypeVar("Number", int, float)


@dataclass(slots=True)
class Watch:
    """Filled by the workers' threads, read by any."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _runs: Ring[Run] = field(default_factory=lambda: Ring(MAX_RUNS))
    _pictures: Ring[Picture] = field(default_factory=lambda: Ring(MAX_PICTURES))
    _devices: dict[int, DeviceReport] = field(default_factory=dict)
    _before: dict[int, DeviceReport] = field(default_factory=dict)  # what lost processes had done

    def observed(self, worker: int, frame: Observed) -> None:
        """A worker's frame: its own device is number `worker` of the pool."""
        with self._lock:
            for run in frame.runs:
                self._runs.add(replace(run, device=worker))
            report = replace(frame.device, device=worker)
            before = self._before.get(worker)
            self._devices[worker] = report if before is None else _sum(before, report)

    def lost(self, worker: int) -> None:
        """A worker's process is gone; the next one counts from 0, and we go on."""
        with self._lock:
            if worker in self._devices:
                self._before[worker] = self._devices[worker]

    def ended(self, picture: Picture) -> None:
        with self._lock:
            self._pictures.add(picture)

    def observe(self, after: Mark) -> Observation:
        """What has come since `after`."""
        with self._lock:
            devices = tuple(self._devices[worker] for worker in sorted(self._devices))
            return observe_rings(after, self._runs, self._pictures, devices)


def _sum(before: DeviceReport, now: DeviceReport) -> DeviceReport:
    return replace(
        now,
        launches=_add(before.launches, now.launches),
        replays=_add(before.replays, now.replays),
        packs=_add(before.packs, now.packs),
        busy_s=_add(before.busy_s, now.busy_s),
        causes_s=_add(before.causes_s, now.causes_s),
    )


def _add(first: Mapping[Key, Number], second: Mapping[Key, Number]) -> dict[Key, Number]:
    sums = dict(first)
    for key, value in second.items():
        sums[key] = sums[key] + value if key in sums else value
    return sums
