"""A stage: one program, one stream, and launches that say when they ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from mezzotint.engine.record import Interval


class Launch(Protocol):
    """Work handed to a device."""

    def done(self) -> bool: ...

    def wait(self) -> Interval:
        """Block until the work has run. -> when it ran."""
        ...


class Stage(Protocol):
    """Runs work of one kind, in order."""

    def launch(self, work: Callable[[], None], after: tuple[Launch, ...]) -> Launch:
        """Run `work` once every launch in `after` has run."""
        ...


@dataclass(frozen=True, slots=True)
class _Finished:
    interval: Interval

    def done(self) -> bool:
        return True

    def wait(self) -> Interval:
        return self.interval


@dataclass(frozen=True, slots=True)
class HostStage:
    """A stage on the CPU: a plain call."""

    def launch(self, work: Callable[[], None], after: tuple[Launch, ...]) -> Launch:
        for launch in after:
            launch.wait()
        start = time.monotonic()
        work()
        return _Finished(Interval(start, time.monotonic()))


@dataclass(frozen=True, slots=True, eq=False)
class CudaClock:
    """Puts device events on the host's clock: one event whose host time is known."""

    event: torch.cuda.Event
    host: float

    @classmethod
    def start(cls) -> CudaClock:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        event.synchronize()
        return cls(event, time.monotonic())

    def at(self, event: torch.cuda.Event) -> float:
        return self.host + float(self.event.elapsed_time(event)) / 1e3


@dataclass(frozen=True, slots=True, eq=False)
class _CudaLaunch:
    clock: CudaClock
    begin: torch.cuda.Event
    end: torch.cuda.Event

    def done(self) -> bool:
        return bool(self.end.query())

    def wait(self) -> Interval:
        self.end.synchronize()
        return Interval(self.clock.at(self.begin), self.clock.at(self.end))


@dataclass(frozen=True, slots=True, eq=False)
class CudaStage:
    """A stage on a GPU: its own stream, met by others only through events."""

    stream: torch.cuda.Stream
    clock: CudaClock

    def launch(self, work: Callable[[], None], after: tuple[Launch, ...]) -> Launch:
        begin = torch.cuda.Event(enable_timing=True)
        # blocking: a waiting host thread sleeps instead of spinning on a core
        end = torch.cuda.Event(enable_timing=True, blocking=True)
        with torch.cuda.stream(self.stream):
            for launch in after:
                if isinstance(launch, _CudaLaunch):
                    self.stream.wait_event(launch.end)
            begin.record()
            work()
            end.record()
        return _CudaLaunch(self.clock, begin, end)
