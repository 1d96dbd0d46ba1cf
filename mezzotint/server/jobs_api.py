"""The native API's jobs: accepted with 202 and kept, watched, cancelled, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mezzotint.jobs import store
from mezzotint.jobs.store import Job
from mezzotint.server.errors import ApiError, explain, invalid
from mezzotint.server.events import EventStream, while_allowed
from mezzotint.server.history import scope_of
from mezzotint.server.hub import Hub, Scope, TakeSnapshot, stream
from mezzotint.server.job_events import JOB_EVENT
from mezzotint.server.job_schema import (
    JobCall,
    JobInfo,
    JobList,
    JobsCancelled,
    ShownState,
    Snapshot,
    order_of,
)
from mezzotint.server.jobs import Jobs
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.own_presets import fill_job, find_own
from mezzotint.server.queue import terms_of
from mezzotint.server.schema import ERRORS
from mezzotint.types import MezzotintError, RequestError

_ERRORS: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"itemSchema": JOB_EVENT}}}
}
_ABOUT_STREAM = (
    "Server-sent events. The first is a snapshot of the jobs that are not over; a client that was "
    "cut off sends the last id it saw as Last-Event-ID and misses nothing: it gets what came "
    "after, or, when that is too long ago, a snapshot that also holds what ended since. A comment "
    "every 15 s keeps proxies from closing the connection."
)
_Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The job's id.")]
_IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[!-~]{1,200}$",
        description="A word of the client's own: the same call with the same word makes one job, "
        "however often it is sent; another call with it is a 409.",
    ),
]
_LastEventId = Annotated[
    str | None,
    Header(pattern=r"^[0-9]{1,19}$", description="The id of the last event that was seen."),
]
_After = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{1,19}$",
        description="The same, for clients that cannot set a header; the header counts first.",
    ),
]


def jobs_router(jobs: Jobs) -> APIRouter:
    """The routes under /api/v1/jobs, and /api/v1/events."""
    router = APIRouter(prefix="/api/v1", tags=["jobs"], responses=_ERRORS)
    _add_submitting(router, jobs)
    _add_reading(router, jobs)
    _add_ending(router, jobs)
    _add_streams(router, jobs)
    return router


def _add_submitting(router: APIRouter, jobs: Jobs) -> None:
    @router.post(
        "/jobs",
        summary="Ask for pictures and go on",
        description="Once it is answered with 202 the job is on the disk and will be made, whether "
        "or not the client stays and however the server ends. Jobs are taken while the model's "
        "weights load.",
        status_code=202,
        dependencies=[JSON_ONLY],
        responses={
            202: {
                "headers": {"Location": {"description": "The job.", "schema": {"type": "string"}}}
            },
            429: ERRORS[429],
        },
    )
    def create_job(
        call: JobCall, http: Request, response: Response, idempotency_key: _IdempotencyKey = None
    ) -> JobInfo:
        terms = terms_of(http, call.priority, call.deadline_s)
        try:
            own = find_own(jobs.database, call.preset, http)
            full = call if own is None else fill_job(call, own)
            jobs.queue.check(full.n, terms.key_id)
            job = jobs.taker.submit(
                order_of(full, jobs.tuning.now, call.preset if own else None),
                key_id=terms.key_id,
                priority=terms.priority,
                deadline_s=terms.deadline_s,
                idempotency_key=idempotency_key,
                asked=call.model_dump(),  # presets and settings may change until it comes again
            )
        except MezzotintError as error:
            raise explain(error, http.state.request_id) from error
        response.headers["Location"] = f"{http.scope.get('root_path', '')}/api/v1/jobs/{job.id}"
        return jobs.show(job)


def _add_reading(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/jobs", summary="List jobs, newest first")
    def list_jobs(
        http: Request,
        state: Annotated[ShownState | None, Query(description="Only those in it.")] = None,
        cursor: Annotated[
            str | None, Query(max_length=200, description="next_cursor of the page before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="Jobs a page.")] = 50,
    ) -> JobList:
        try:
            return jobs.page(scope_of(http), state, cursor, limit)
        except RequestError as error:
            raise invalid(str(error), None) from error

    @router.get("/jobs/{id}", summary="Read how a job stands")
    def read_job(id: _Id, http: Request) -> JobInfo:
        return jobs.show(_find(jobs, id, http))


def _add_ending(router: APIRouter, jobs: Jobs) -> None:
    @router.post("/jobs/cancel", summary="Cancel all jobs of the caller that are not over")
    def cancel_jobs(http: Request) -> JobsCancelled:
        ids = jobs.database.read(store.open_ids, http.state.caller.key_id)
        for id in ids:
            jobs.runner.cancel(id)
        return JobsCancelled(cancelled=len(ids))

    @router.post(
        "/jobs/{id}/cancel",
        summary="Cancel a job",
        description="A running one ends within two steps; what is finished of it is kept. A job "
        "that is over stays as it is.",
    )
    def cancel_job(id: _Id, http: Request) -> JobInfo:
        _find(jobs, id, http)
        jobs.runner.cancel(id)
        return jobs.show(_find(jobs, id, http))

    @router.delete(
        "/jobs/{id}",
        summary="Delete a job that is over, with its pictures",
        description="Starred pictures too.",
        status_code=204,
    )
    def delete_job(id: _Id, http: Request) -> None:
        _find(jobs, id, http)
        if not jobs.gallery.delete_job(id):
            raise ApiError(409, "the job is not over; cancel it first", code="job_not_over")


def _add_streams(router: APIRouter, jobs: Jobs) -> None:
    @router.get(
        "/jobs/{id}/events",
        summary="Watch a job until it is over",
        description=_ABOUT_STREAM,
        response_class=Response,
        responses=_STREAM | {204: {"description": "It is over, and the client saw all of it."}},
    )
    async def watch_job(
        id: _Id, http: Request, last_event_id: _LastEventId = None, after: _After = None
    ) -> Response:
        job = await run_in_threadpool(_find, jobs, id, http)
        scope, since = Scope(None, id), _number(last_event_id or after)
        if job.finished_us is not None and since is not None:
            told = jobs.hub.after(since, scope)
            if told is not None and not told[0]:  # all of it: browsers stop asking at a 204
                return Response(status_code=204)

        async def snapshot(_: int | None) -> tuple[bytes, bool]:
            found = await run_in_threadpool(lambda: jobs.show(_find(jobs, id, http)))
            over = found.ended_at is not None
            shown = Snapshot(jobs=[found], complete=True)
            return shown.model_dump_json().encode(), over

        return _open(jobs.hub, scope, since, snapshot, http)

    @router.get(
        "/events",
        summary="Watch all jobs of the caller, for an admin everybody's",
        description=_ABOUT_STREAM,
        response_class=Response,
        responses=_STREAM,
    )
    async def watch_jobs(
        http: Request, last_event_id: _LastEventId = None, after: _After = None
    ) -> Response:
        key_id = scope_of(http)

        async def snapshot(since: int | None) -> tuple[bytes, bool]:
            found = await run_in_threadpool(jobs.snapshot, key_id, since)
            return found.model_dump_json().encode(), False

        return _open(jobs.hub, Scope(key_id), _number(last_event_id or after), snapshot, http)


def _open(
    hub: Hub, scope: Scope, since: int | None, snapshot: TakeSnapshot, http: Request
) -> EventStream:
    return EventStream(while_allowed(stream(hub, scope, since, snapshot), http.state.allowed))


def _number(id: str | None) -> int | None:
    return None if id is None else int(id)


def _find(jobs: Jobs, id: str, http: Request) -> Job:
    job = jobs.database.read(store.get, id, scope_of(http))
    if job is None:  # the same for one that is another's: its id must not tell that it exists
        raise ApiError(404, "there is no such job; it may have been deleted", code="not_found")
    return job
