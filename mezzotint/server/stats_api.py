"""The native API's stats: where they stand, as they come, the last ten minutes, a trace."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from mezzotint.engine.record import RUN_STAGES, Member, Run
from mezzotint.engine.trace import runs_to_trace
from mezzotint.jobs import images
from mezzotint.jobs.database import Database
from mezzotint.jobs.images import StoredImage
from mezzotint.server.chronicle import Chronicle
from mezzotint.server.errors import ApiError
from mezzotint.server.frame import FrameRequest, FrameRun
from mezzotint.server.history import scope_of
from mezzotint.server.queue import Queue
from mezzotint.server.schema import ERRORS
from mezzotint.server.stats_schema import Stats, StatsHistory, clock_of, history_of, stats_of
from mezzotint.server.stats_stream import add_stream
from mezzotint.server.watcher import Watcher


class RequestPicture(BaseModel):
    """The picture that came of a request."""

    image_id: str = Field(description="As in /api/v1/images.")


def stats_router(watcher: Watcher, queue: Queue, database: Database | None) -> APIRouter:
    """The routes under /api/v1/stats; without a database no request leads to its picture."""
    responses: dict[int | str, dict[str, Any]] = {"default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1/stats", tags=["stats"], responses=responses)

    @router.get("", summary="Read where the server stands")
    def read_stats() -> Stats:
        return watcher.read(lambda chronicle, _: stats_of(chronicle, watcher.feed.recorded))

    @router.get("/history", summary="Read the last ten minutes", response_model_exclude_none=True)
    def read_history() -> StatsHistory:
        return watcher.read(lambda chronicle, count: history_of(watcher, chronicle, count))

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

    add_stream(router, watcher)
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


def _trace(chronicle: Chronicle) -> bytes:
    known = {request[0]: request for request in chronicle.requests}
    runs = [_run(run, known) for run in chronicle.runs]
    return runs_to_trace(runs, clock_of(chronicle))


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
