"""What the stats say: where a server stands, and all before a stream of it."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, Field

from mezzotint.engine.stats import Outcome
from mezzotint.server.chronicle import Chronicle, Point, percentile
from mezzotint.server.frame import (
    DeviceState,
    FramePicture,
    FrameRequest,
    FrameRun,
    FrameStage,
    QueueState,
)
from mezzotint.server.watcher import Watcher

Clock = Literal["host", "device"]
_RATE_S = 10.0


class Percentiles(BaseModel):
    """Of the last 1024 finished pictures."""

    p50_ms: float = Field(ge=0, description="Half of them took no longer, ms.")
    p95_ms: float = Field(ge=0, description="95 % of them took no longer, ms.")
    p99_ms: float = Field(ge=0, description="99 % of them took no longer, ms.")


class Stats(BaseModel):
    """Where the server stands."""

    clock: Clock = Field(
        description="Whose clock timed encode, denoise and decode; queue, file and wait are the "
        "host's."
    )
    recorded: str | None = Field(
        description="Set when all of this is a replay of a recording: of what, in words."
    )
    t: float = Field(description="When, s since the stream's zero.")
    queue: QueueState = Field(description="Pictures under way.")
    arrived: int = Field(ge=0, description="Pictures that ever came.")
    outcomes: dict[Outcome, int] = Field(description="Pictures that ever ended, by how.")
    images_per_s: float = Field(ge=0, description="Finished in the last ten seconds, per second.")
    stages: dict[FrameStage | Literal["total"], Percentiles] = Field(
        description="A finished picture's time in each stage, and in all."
    )
    devices: list[DeviceState] = Field(description="Every device.")


class StatsHistory(BaseModel):
    """All that a page must know before it follows the stream."""

    clock: Clock = Field(description="As in Stats.")
    recorded: str | None = Field(default=None, description="As in Stats.")
    last_id: str = Field(description="Give it to the stream as `after`: nothing is lost between.")
    zero_unix_s: float = Field(description="The stream's zero, s since 1970.")
    t: float = Field(description="When, s since the stream's zero.")
    queue: QueueState = Field(description="Pictures under way.")
    arrived: int = Field(ge=0, description="Pictures that ever came.")
    outcomes: dict[Outcome, int] = Field(description="Pictures that ever ended, by how.")
    devices: list[DeviceState] = Field(description="Every device.")
    points: list[Point] = Field(description="Every two seconds of the last ten minutes.")
    requests: list[FrameRequest] = Field(description="The last 1024, as in Frame.requests.")
    runs: list[FrameRun] = Field(description="The last 4096, as in Frame.runs.")
    pictures: list[FramePicture] = Field(description="The last 1024 that ended.")


def stats_of(chronicle: Chronicle, recorded: str | None) -> Stats:
    return Stats(
        clock=clock_of(chronicle),
        recorded=recorded,
        t=chronicle.t,
        queue=chronicle.queue,
        arrived=chronicle.arrived,
        outcomes=chronicle.outcomes,
        images_per_s=_rate(chronicle),
        stages=_stages(chronicle),
        devices=chronicle.devices,
    )


def history_of(watcher: Watcher, chronicle: Chronicle, count: int) -> StatsHistory:
    return StatsHistory.model_construct(
        clock=clock_of(chronicle),
        recorded=watcher.feed.recorded,
        last_id=f"{watcher.boot}.{count}",
        zero_unix_s=round(time.time() - watcher.feed.clock_s(), 3),
        t=chronicle.t,
        queue=chronicle.queue,
        arrived=chronicle.arrived,
        outcomes=chronicle.outcomes,
        devices=chronicle.devices,
        points=list(chronicle.points),
        requests=chronicle.requests,
        runs=list(chronicle.runs),
        pictures=list(chronicle.pictures),
    )


def clock_of(chronicle: Chronicle) -> Clock:
    on_device = any(device.clock == "device" for device in chronicle.devices)
    return "device" if on_device else "host"


def _rate(chronicle: Chronicle) -> float:
    since = chronicle.t - _RATE_S
    finished = [
        picture
        for picture in chronicle.pictures
        if picture.outcome == "finished" and picture.submitted_s + picture.total_ms / 1e3 > since
    ]
    return round(len(finished) / min(_RATE_S, max(chronicle.t, 1.0)), 3)


def _stages(chronicle: Chronicle) -> dict[FrameStage | Literal["total"], Percentiles]:
    by_stage: dict[FrameStage | Literal["total"], list[float]] = {}
    for picture in chronicle.pictures:
        if picture.outcome == "finished":
            by_stage.setdefault("total", []).append(picture.total_ms)
            for stage, ms in picture.stages_ms.items():
                by_stage.setdefault(stage, []).append(ms)
    return {stage: _percentiles(sorted(values)) for stage, values in by_stage.items()}


def _percentiles(values: list[float]) -> Percentiles:
    return Percentiles(
        p50_ms=percentile(values, 0.5),
        p95_ms=percentile(values, 0.95),
        p99_ms=percentile(values, 0.99),
    )
