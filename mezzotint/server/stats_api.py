"""The native API's stats: where they stand, as they come, the last ten minutes, a trace."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from mezzotint.engine.record import RUN_STAGES, Member, Run
from mezzotint.engine.stats import Outcome
from mezzotint.engine.trace import runs_to_trace
from mezzotint.jobs import images
from mezzotint.jobs.database import Database
from mezzotint.jobs.images import StoredImage
from mezzotint.server.chronicle import Chronicle, Point, percentile
from mezzotint.server.errors import ApiError, invalid
from mezzotint.server.events import PING, PING_S, EventStream, while_allowed
from mezzotint.server.frame import (
    DeviceState,
    FramePicture,
    FrameRequest,
    FrameRun,
    FrameStage,
    QueueState,
)
from mezzotint.server.history import scope_of
from mezzotint.server.queue import Queue
from mezzotint.server.schema import ERRORS
from mezzotint.server.watcher import Watcher

_Clock = Literal["host", "device"]
_RATE_S = 10.0
_ID = r"^[0-9a-f]{8}\.[0-9]{1,15}$"


class Percentiles(BaseModel):
    """Of the last 1024 finished pictures."""

    p50_ms: float = Field(ge=0, description="Half of them took no longer, ms.")
    p95_ms: float = Field(ge=0, description="95 % of them took no longer, ms.")
    p99_ms: float = Field(ge=0, description="99 % of them took no longer, ms.")


class Stats(BaseModel):
    """Where the server stands."""

    clock: _Clock = Field(
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

    clock: _Clock = Field(description="As in Stats.")
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


class RequestPicture(BaseModel):
    """The picture that came of a request."""

    image_id: str = Field(description="As in /api/v1/images.")


def stats_router(watcher: Watcher, queue: Queue, database: Database | None) -> APIRouter:
    """The routes under /api/v1/stats; without a database no request leads to its picture."""
    responses: dict[int | str, dict[str, Any]] = {"default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1/stats", tags=["stats"], responses=responses)

    @router.get("", summary="Read where the server stands")
    def read_stats() -> Stats:
        return watcher.read(lambda chronicle, _: _stats(chronicle, watcher.feed.recorded))

    @router.get("/history", summary="Read the last ten minutes", response_model_exclude_none=True)
    def read_history() -> StatsHistory:
        return watcher.read(lambda chronicle, count: _history(watcher, chronicle, count))

    @router.get("/requests/{request}", summary="Find the picture that came of a request")
    def find_picture(
        http: Request,
        request: Annotated[int, Path(ge=0, le=2**53, description="Its number, as in runs.")],
    ) -> RequestPicture:
        found = None if database is None else database.read(_picture_of, queue, request, http)
        if found is None:
            raise ApiError(
                404,
                "no picture of this caller's came of that request, or it was long ago",
                code="not_found",
            )
        return RequestPicture(image_id=found.id)

    @router.get(
        "/trace",
        summary="Download what ran lately, for Perfetto",
        description="The last 4096 runs in Chrome's trace format; ui.perfetto.dev opens it.",
        response_class=Response,
        responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
    )
    def read_trace() -> Response:
        data = watcher.read(lambda chronicle, _: _trace(chronicle))
        headers = {"Content-Disposition": 'attachment; filename="mezzotint-trace.json"'}
        return Response(data, headers=headers, media_type="application/json")

    @router.get(
        "/stream",
        summary="Follow the stats",
        description="Server-sent events, at most four a second and 64 KiB/s. `frame` holds a Frame "
        "and has an id. `reset` means that what followed the given id is not kept: read the "
        "history again. A comment every 15 s while nothing happens.",
        status_code=200,
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        },
    )
    async def follow(
        http: Request,
        after: Annotated[
            str | None, Query(pattern=_ID, description="The id of the last frame known.")
        ] = None,
        last_event_id: Annotated[
            str | None, Header(description="The same, as browsers send it when they reconnect.")
        ] = None,
    ) -> EventStream:
        frames = _follow(watcher, last_event_id or after)
        return EventStream(while_allowed(frames, http.state.allowed))

    return router


def _picture_of(
    connection: Connection, queue: Queue, request: int, http: Request
) -> StoredImage | None:
    origin = queue.origin(request)
    if origin is None or origin.job_id is None:
        return None
    kept = images.of_job(connection, origin.job_id)
    found = next((image for image in kept if image.index == origin.index), None)
    return None if found is None else images.get(connection, found.id, scope_of(http))


async def _follow(watcher: Watcher, after: str | None) -> AsyncGenerator[bytes, None]:
    number = watcher.read(lambda _, count: count)
    if after is not None:
        boot, _, last = after.partition(".")
        if not last.isdecimal() or len(last) > 15:
            raise invalid(f"Last-Event-ID {after[:40]!r} is none of ours; leave it out", None)
        number = int(last) if boot == watcher.boot else -1
    async for entry in watcher.listen(number, PING_S):
        if entry is None:
            yield PING
        else:
            yield format_sse_event(
                event="frame", data_str=entry[1].decode(), id=f"{watcher.boot}.{entry[0]}"
            )
    if not watcher.ended:
        yield format_sse_event(event="reset", data_str="{}")


def _stats(chronicle: Chronicle, recorded: str | None) -> Stats:
    return Stats(
        clock=_clock(chronicle),
        recorded=recorded,
        t=chronicle.t,
        queue=chronicle.queue,
        arrived=chronicle.arrived,
        outcomes=chronicle.outcomes,
        images_per_s=_rate(chronicle),
        stages=_stages(chronicle),
        devices=chronicle.devices,
    )


def _history(watcher: Watcher, chronicle: Chronicle, count: int) -> StatsHistory:
    return StatsHistory.model_construct(
        clock=_clock(chronicle),
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


def _clock(chronicle: Chronicle) -> _Clock:
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


def _trace(chronicle: Chronicle) -> bytes:
    known = {request[0]: request for request in chronicle.requests}
    runs = [_run(run, known) for run in chronicle.runs]
    return runs_to_trace(runs, _clock(chronicle))


def _run(run: FrameRun, known: dict[int, FrameRequest]) -> Run:
    device, stage, start_ms, length_ms, replayed, members = run
    pairs = zip(members[::2], members[1::2], strict=True)
    return Run(
        stage=RUN_STAGES[stage],
        start_s=start_ms / 1e3,
        end_s=(start_ms + length_ms) / 1e3,
        replayed=bool(replayed),
        members=tuple(_member(request, step, known) for request, step in pairs),
        device=device,
    )


def _member(request: int, step: int, known: dict[int, FrameRequest]) -> Member:
    _, width, height, steps = known.get(request, (request, 0, 0, 0))
    return Member(request, step, steps, width, height)
