"""Frames of what a runner does now."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping

from mezzotint.engine.record import CAUSES, RUN_STAGES, Cause, DeviceReport, Mark, Picture, Run
from mezzotint.server.frame import (
    Balance,
    Culprit,
    DeviceState,
    Frame,
    FramePicture,
    FrameRequest,
    FrameRun,
    GpuReading,
    QueueState,
    changed,
)
from mezzotint.server.gpus import Gpus
from mezzotint.server.queue import Queue
from mezzotint.server.source import RunnerSource

BALANCE_S = 10.0
_NOBODY = 0.9  # of the time with work, spent on denoising
_NO_WORK = 0.02  # of the time
_CULPRITS: dict[Cause, Culprit] = {
    "encode": "text_encoder",
    "decode": "vae",
    "file": "file",
    "host": "host",
}
_GPU_S = 0.5  # between two questions to the driver
_QUIET_S = 1.0  # between two frames in which nothing ran
_KNOWN = 1024  # requests whose size has been told


class LiveFeed:
    """Reads a runner, the queue before it and the GPUs; one thread's own."""

    recorded = None

    def __init__(
        self,
        source: RunnerSource,
        queue: Queue,
        gpus: Gpus,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._queue = queue
        self._gpus = gpus
        self._now = now
        self._zero_s = now()
        self._mark = Mark()
        self._told: dict[int, DeviceState] = {}
        self._known: OrderedDict[int, None] = OrderedDict()
        self._past: dict[int, deque[tuple[float, Mapping[Cause, float]]]] = {}
        self._readings: dict[int, GpuReading] = {}
        self._last_read_s = self._last_frame_s = float("-inf")

    def clock_s(self) -> float:
        """Seconds since the stream's zero."""
        return self._now() - self._zero_s

    def next(self) -> Frame | None:
        """What is new; None when that is nothing and was told not long ago."""
        now = self._now()
        served = self._source.peek()
        if served is None:
            return self._frame(now, (), (), (), 0, self._counts()) if self._is_due(now) else None
        seen = served.runner.observe(self._mark)
        if not seen.runs and not seen.pictures and not self._is_due(now):
            return None
        self._mark = seen.mark
        stats = served.runner.stats()
        waiting = self._queue.waiting + stats.waiting
        counts = QueueState(accepted=self._queue.pending, waiting=waiting, running=stats.running)
        outcomes = dict(stats.outcomes)
        devices = self._devices(now, seen.devices)
        frame = self._frame(now, devices, seen.runs, seen.pictures, seen.missed, counts)
        arrived = sum(outcomes.values()) + waiting + stats.running
        return frame.model_copy(update={"outcomes": outcomes, "arrived": arrived})

    def _is_due(self, now: float) -> bool:
        return now - self._last_frame_s >= _QUIET_S

    def _counts(self) -> QueueState:
        accepted, waiting = self._queue.pending, self._queue.waiting
        return QueueState(accepted=accepted, waiting=waiting, running=0)

    def _frame(
        self,
        now: float,
        devices: Iterable[DeviceState],
        runs: Iterable[Run],
        pictures: Iterable[Picture],
        missed: int,
        counts: QueueState,
    ) -> Frame:
        self._last_frame_s = now
        runs = tuple(runs)
        return Frame(
            t=round(now - self._zero_s, 4),
            queue=counts,
            arrived=0,
            outcomes={},
            devices=list(devices),
            requests=self._new_requests(runs),
            runs=[self._run(run) for run in runs],
            pictures=[self._picture(picture) for picture in pictures],
            missed=missed,
        )

    def _new_requests(self, runs: Iterable[Run]) -> list[FrameRequest]:
        new: dict[int, FrameRequest] = {}
        for run in runs:
            for m in run.members:
                if m.request not in self._known:
                    self._known[m.request] = None
                    new[m.request] = (m.request, m.width, m.height, m.steps)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return list(new.values())

    def _run(self, run: Run) -> FrameRun:
        start_ms = round((run.start_s - self._zero_s) * 1e3, 2)
        length_ms = round((run.end_s - run.start_s) * 1e3, 3)
        members = [number for m in run.members for number in (m.request, m.step)]
        stage = RUN_STAGES.index(run.stage)
        return (run.device, stage, start_ms, length_ms, int(run.replayed), members)

    def _picture(self, picture: Picture) -> FramePicture:
        origin = self._queue.origin(picture.request)
        # The runner's time begins where that in the line ended.
        in_line_s = 0.0 if origin is None else origin.started_s - origin.entered_s
        stages = dict(picture.stages)
        if stages:
            stages["queue"] = stages.get("queue", 0.0) + in_line_s * 1e3
        asked = None if origin is None else origin.steps_range
        return FramePicture(
            request=picture.request,
            device=picture.device,
            outcome=picture.outcome,
            width=picture.width,
            height=picture.height,
            steps=picture.steps,
            asked_steps=None if asked is None else (asked.min, asked.max),
            submitted_s=round(picture.submitted_s - in_line_s - self._zero_s, 4),
            total_ms=round((picture.ended_s - picture.submitted_s + in_line_s) * 1e3, 3),
            tflop=round(picture.tflop, 4),
            stages_ms={stage: round(ms, 3) for stage, ms in stages.items()},  # type: ignore[misc]
        )

    def _devices(self, now: float, reports: Iterable[DeviceReport]) -> list[DeviceState]:
        if now - self._last_read_s >= _GPU_S:
            self._last_read_s = now
            self._readings = self._gpus.read()
        states = []
        for report in reports:
            state = self._state(now, report)
            states.append(changed(self._told.get(report.device), state))
            self._told[report.device] = state
        return states

    def _state(self, now: float, report: DeviceReport) -> DeviceState:
        past = self._past.setdefault(report.device, deque())
        past.append((now, report.causes_s))
        while len(past) > 2 and past[1][0] <= now - BALANCE_S:
            past.popleft()
        return DeviceState(
            device=report.device,
            name=report.name,
            precision=report.precision,
            clock=report.clock,
            launches=report.launches,
            replays=report.replays,
            packs=report.packs,
            busy_s={stage: round(s, 4) for stage, s in report.busy_s.items()},
            causes_s={cause: round(s, 4) for cause, s in report.causes_s.items()},
            memory_bytes=report.memory_bytes,
            ceiling_tflops=report.ceiling_tflops,
            balance=balance_between(past[0][1], report.causes_s),
            gpu=self._readings.get(report.device) if report.clock == "device" else None,
        )


def balance_between(before: Mapping[Cause, float], now: Mapping[Cause, float]) -> Balance:
    """What was waited for between two readings of the seconds by cause."""
    spent = {cause: max(0.0, now.get(cause, 0.0) - before.get(cause, 0.0)) for cause in CAUSES}
    total = sum(spent.values())
    if total == 0.0:
        return Balance(waits_for="no_work", shares=dict.fromkeys(CAUSES, 0.0) | {"idle": 1.0})
    shares = {cause: round(seconds / total, 4) for cause, seconds in spent.items()}
    return Balance(waits_for=_culprit(shares), shares=shares)


def _culprit(shares: Mapping[Cause, float]) -> Culprit:
    working = 1.0 - shares["idle"]
    if working < _NO_WORK:
        return "no_work"
    if shares["denoise"] >= _NOBODY * working:
        return "nobody"
    return _CULPRITS[max(_CULPRITS, key=lambda cause: shares[cause])]
