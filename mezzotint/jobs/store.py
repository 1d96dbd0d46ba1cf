"""Jobs: accepted, taken, ended. Functions over a connection; `Database` makes them transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from mezzotint.jobs.order import Order, from_json, to_json
from mezzotint.jobs.paging import Page, fetch_page
from mezzotint.jobs.schema import images, jobs
from mezzotint.types import RequestError

JobState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
EndState = Literal["done", "failed", "cancelled", "interrupted"]

LOCAL = ""  # the owner of everything on a server without keys
MAX_ERROR = 2000  # characters

_OPEN = ("queued", "running")


class ConflictError(RequestError):
    """An Idempotency-Key was used again with another body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to accept."""

    order: Order  # its seed drawn
    fingerprint: str  # of what was asked, before the seed was drawn
    key_id: str = LOCAL
    priority: int = 0
    idempotency_key: str | None = None
    deadline_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A stored job; times in microseconds since 1970."""

    id: str
    key_id: str
    state: JobState
    order: Order
    priority: int
    created_us: int
    started_us: int | None
    finished_us: int | None
    error: str | None
    attempts: int
    deadline_us: int | None


def create(connection: Connection, new: NewJob, *, id: str, now_us: int) -> Job:
    """Accept a job, or find the one that this Idempotency-Key made.

    ConflictError when that one asked for something else.
    """
    existing = find_idempotent(connection, new)
    if existing is not None:
        return existing
    connection.execute(
        insert(jobs).values(
            id=id,
            key_id=new.key_id,
            state="queued",
            request=to_json(new.order),
            fingerprint=new.fingerprint,
            idempotency_key=new.idempotency_key,
            priority=new.priority,
            created_us=now_us,
            attempts=0,
            deadline_us=new.deadline_us,
        )
    )
    return _must_get(connection, id)


def find_idempotent(connection: Connection, new: NewJob) -> Job | None:
    """The job that this Idempotency-Key made; ConflictError when it asked for something else."""
    if new.idempotency_key is None:
        return None
    same = (jobs.c.key_id == new.key_id) & (jobs.c.idempotency_key == new.idempotency_key)
    row = connection.execute(select(jobs).where(same)).first()
    if row is None:
        return None
    if row.fingerprint != new.fingerprint:
        raise ConflictError(
            "this Idempotency-Key was used before for another request; give each request its own"
        )
    return _job(row)


def get(connection: Connection, id: str, key_id: str | None = None) -> Job | None:
    """A job by id; with `key_id`, only if it is that key's."""
    row = connection.execute(_of_key(select(jobs).where(jobs.c.id == id), key_id)).first()
    return None if row is None else _job(row)


def page(
    connection: Connection,
    *,
    key_id: str | None = None,
    states: Sequence[JobState] = (),
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """Jobs, newest first."""
    rows = _of_key(select(jobs), key_id)
    if states:
        rows = rows.where(jobs.c.state.in_(states))
    found, following = fetch_page(connection, rows, jobs, cursor, limit)
    return Page(tuple(map(_job, found)), following)


def open_or_ended(
    connection: Connection, key_id: str | None, since_us: int | None, limit: int
) -> list[Job]:
    """Jobs that are not over, or ended after a time; the newest, oldest of them first."""
    wanted: list[ColumnElement[bool]] = [jobs.c.state.in_(_OPEN)]
    if since_us is not None:
        wanted.append(jobs.c.finished_us >= since_us)
    rows = _of_key(select(jobs).where(or_(*wanted)), key_id)
    rows = rows.order_by(jobs.c.created_us.desc(), jobs.c.id.desc()).limit(limit)
    return [_job(row) for row in connection.execute(rows)][::-1]


def open_ids(connection: Connection, key_id: str | None) -> list[str]:
    """The ids of jobs that are not over."""
    rows = _of_key(select(jobs.c.id).where(jobs.c.state.in_(_OPEN)), key_id)
    return [row.id for row in connection.execute(rows)]


def count(connection: Connection, state: JobState) -> int:
    """How many jobs are in a state."""
    query = select(func.count()).select_from(jobs).where(jobs.c.state == state)
    return int(connection.execute(query).scalar_one())


def queued(connection: Connection) -> list[Job]:
    """All waiting jobs, the oldest first."""
    order = (jobs.c.created_us, jobs.c.id)
    rows = select(jobs).where(jobs.c.state == "queued").order_by(*order)
    return list(map(_job, connection.execute(rows)))


def start(connection: Connection, id: str, now_us: int) -> bool:
    """Take a waiting job. -> whether it still waited."""
    return _change(
        connection,
        id,
        ("queued",),
        {"state": "running", "started_us": now_us, "attempts": jobs.c.attempts + 1},
    )


def put_back(connection: Connection, id: str) -> bool:
    """Return a taken job to the queue as if it had never been tried."""
    values = {"state": "queued", "started_us": None, "attempts": jobs.c.attempts - 1}
    return _change(connection, id, ("running",), values)


def end(
    connection: Connection, id: str, state: EndState, now_us: int, error: str | None = None
) -> bool:
    """End a job that has not ended. -> whether it had not."""
    short = None if error is None else error[:MAX_ERROR]
    return _change(connection, id, _OPEN, {"state": state, "finished_us": now_us, "error": short})


def recover(connection: Connection, max_attempts: int, now_us: int) -> None:
    """After a crash: what was running waits again, or is interrupted when it was tried too often.

    A job is a pure function of its order, so running it again makes the same pictures.
    """
    tired = jobs.c.attempts >= max_attempts
    sentence = f"the server ended {max_attempts} times while this job was running; ask again"
    connection.execute(
        update(jobs)
        .where(jobs.c.state == "running")
        .values(
            state=case((tired, "interrupted"), else_="queued"),
            finished_us=case((tired, now_us), else_=None),
            error=case((tired, sentence), else_=None),
        )
    )


def remove(connection: Connection, id: str) -> bool:
    """Delete an ended job's row; its images' rows must be gone. -> whether there was one."""
    ended = jobs.c.state.not_in(_OPEN)
    return connection.execute(delete(jobs).where(jobs.c.id == id, ended)).rowcount > 0


def remove_empty(connection: Connection, before_us: int) -> int:
    """Delete jobs that ended before a time and have no images. -> how many."""
    has_images = select(images.c.id).where(images.c.job_id == jobs.c.id).exists()
    ended = (jobs.c.finished_us < before_us) & jobs.c.state.not_in(_OPEN)
    return connection.execute(delete(jobs).where(ended, ~has_images)).rowcount


def _change(
    connection: Connection, id: str, states: tuple[str, ...], values: dict[str, Any]
) -> bool:
    query = update(jobs).where(jobs.c.id == id, jobs.c.state.in_(states)).values(values)
    return connection.execute(query).rowcount > 0


def _of_key(rows: Any, key_id: str | None) -> Any:
    return rows if key_id is None else rows.where(jobs.c.key_id == key_id)


def _must_get(connection: Connection, id: str) -> Job:
    return _job(connection.execute(select(jobs).where(jobs.c.id == id)).one())


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        key_id=row.key_id,
        state=row.state,
        order=from_json(row.request),
        priority=row.priority,
        created_us=row.created_us,
        started_us=row.started_us,
        finished_us=row.finished_us,
        error=row.error,
        attempts=row.attempts,
        deadline_us=row.deadline_us,
    )
