"""The last ten minutes of frames: what a page that is opened now must know."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from mezzotint.engine.record import CAUSES
from mezzotint.engine.stats import Outcome
from mezzotint.server.frame import (
    DeviceState,
    Frame,
    FramePicture,
    FrameRequest,
    FrameRun,
    QueueState,
    merged,
)

POINT_S = 2.0
MAX_POINTS = 300  # ten minutes
MAX_RUNS = 4096
MAX_PICTURES = 1024
_MAX_REQUESTS = 1024


class DevicePoint(BaseModel):
    """One device at one moment; counts and seconds are totals since the start."""

    model_config = ConfigDict(frozen=True)

    device: int = Field(ge=0, description="Its number.")
    causes_s: list[float] = Field(
        description="Seconds by cause: denoise, encode, decode, file, host, idle."
    )
    launches: int = Field(ge=0, description="Of all stages.")
    replays: int = Field(ge=0, description="Of them, CUDA graphs alone.")
    utilization: float | None = Field(default=None, ge=0, le=1, description="By NVML.")
    memory_used_bytes: int | None = Field(default=None, ge=0, description="By NVML.")
    power_watts: float | None = Field(default=None, ge=0, description="By NVML, W.")
    clock_mhz: int | None = Field(default=None, ge=0, description="By NVML, MHz.")


class Point(BaseModel):
    """One moment of the history."""

    model_config = ConfigDict(frozen=True)

    t: float = Field(description="When, s since the stream's zero.")
    queue: QueueState = Field(description="Pictures under way.")
    arrived: int = Field(ge=0, description="Pictures that ever came.")
    outcomes: dict[Outcome, int] = Field(description="Pictures that ever ended, by how.")
    devices: list[DevicePoint] = Field(description="Every device.")


class Chronicle:
    """Fed frames in order; not safe to call from two threads at once."""

    def __init__(self) -> None:
        self.t = 0.0
        self.queue = QueueState(accepted=0, waiting=0, running=0)
        self.arrived = 0
        self.outcomes: dict[Outcome, int] = {}
        self.points: deque[Point] = deque(maxlen=MAX_POINTS)
        self.runs: deque[FrameRun] = deque(maxlen=MAX_RUNS)
        self.pictures: deque[FramePicture] = deque(maxlen=MAX_PICTURES)
        self._requests: OrderedDict[int, FrameRequest] = OrderedDict()
        self._devices: dict[int, DeviceState] = {}

    @property
    def devices(self) -> list[DeviceState]:
        """Every device as it stands."""
        return [self._devices[device] for device in sorted(self._devices)]

    @property
    def requests(self) -> list[FrameRequest]:
        """What the kept runs name."""
        return list(self._requests.values())

    def add(self, frame: Frame) -> None:
        """Take note of the next frame."""
        self.t, self.queue = frame.t, frame.queue
        self.arrived, self.outcomes = frame.arrived, dict(frame.outcomes)
        for change in frame.devices:
            self._devices[change.device] = merged(self._devices.get(change.device), change)
        self.runs.extend(frame.runs)
        self.pictures.extend(frame.pictures)
        self._requests.update((request[0], request) for request in frame.requests)
        while len(self._requests) > _MAX_REQUESTS:
            self._requests.popitem(last=False)
        if not self.points or frame.t - self.points[-1].t >= POINT_S:
            self.points.append(self._point())

    def _point(self) -> Point:
        return Point(
            t=self.t,
            queue=self.queue,
            arrived=self.arrived,
            outcomes=self.outcomes,
            devices=[_device_point(state) for state in self.devices],
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed, by nearest rank; values in order, not none."""
    return values[max(0, math.ceil(len(values) * share) - 1)]


def _device_point(state: DeviceState) -> DevicePoint:
    causes, gpu = state.causes_s or {}, state.gpu
    return DevicePoint(
        device=state.device,
        causes_s=[round(causes.get(cause, 0.0), 3) for cause in CAUSES],
        launches=sum((state.launches or {}).values()),
        replays=sum((state.replays or {}).values()),
        utilization=gpu.utilization if gpu else None,
        memory_used_bytes=gpu.memory_used_bytes if gpu else None,
        power_watts=gpu.power_watts if gpu else None,
        clock_mhz=gpu.clock_mhz if gpu else None,
    )
