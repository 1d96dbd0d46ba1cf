"""A stage: one program, one stream, and launches that say when they ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch

from mezzotint.engine.record import Interval

_MARK_S = 60.0


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
class CudaMark:
    """A device event whose time on the host's clock is known."""

    event: torch.cuda.Event
    host: float  # seconds

    @classmethod
    def now(cls, stream: torch.cuda.Stream) -> CudaMark:
        """One on a stream that does nothing else: it waits for no work of ours."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(stream)
        event.synchronize()
        return cls(event, time.monotonic())

    def interval(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> Interval:
        """When something ran that began after this mark."""
        start = self.host + float(self.event.elapsed_time(begin)) / 1e3
        return Interval(start, start + float(begin.elapsed_time(end)) / 1e3)


@dataclass(slots=True, eq=False)
class CudaClock:
    """Marks to count from, made anew each minute.

    CUDA tells differences in float32: an hour after a mark they resolve a quarter of a millisecond
    only, and a device's clock drifts from the host's by seconds a day.
    """

    make: Callable[[], CudaMark]
    now: Callable[[], float] = time.monotonic
    _mark: CudaMark = field(init=False)

    def __post_init__(self) -> None:
        self._mark = self.make()

    @classmethod
    def start(cls, stream: torch.cuda.Stream) -> CudaClock:
        """One whose marks are made on a stream of its own."""
        return cls(lambda: CudaMark.now(stream))

    def mark(self) -> CudaMark:
        """The newest; once a minute that waits some microseconds for the device."""
        if self.now() - self._mark.host > _MARK_S:
            self._mark = self.make()
        return self._mark


@dataclass(frozen=True, slots=True, eq=False)
class _CudaLaunch:
    mark: CudaMark  # from before `begin`
    begin: torch.cuda.Event
    end: torch.cuda.Event

    def done(self) -> bool:
        return bool(self.end.query())

    def wait(self) -> Interval:
        self.end.synchronize()
        return self.mark.interval(self.begin, self.end)


@dataclass(frozen=True, slots=True, eq=False)
class CudaStage:
    """A stage on a GPU: its own stream, met by others only through events."""

    stream: torch.cuda.Stream
    clock: CudaClock

    def launch(self, work: Callable[[], None], after: tuple[Launch, ...]) -> Launch:
        mark = self.clock.mark()
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
        return _CudaLaunch(mark, begin, end)
