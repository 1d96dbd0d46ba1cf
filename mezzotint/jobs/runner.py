"""Takes waiting jobs to a Runner and keeps what comes of them."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from mezzotint.engine.runner import Runner, Ticket
from mezzotint.jobs import images, store
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.order import MAX_PICTURES, Order, fingerprint, requests_of
from mezzotint.jobs.store import LOCAL, Job, NewJob
from mezzotint.models.recipe import resolve
from mezzotint.types import Cancelled, Image, Progress, RequestError, ResourceError

_log = logging.getLogger(__name__)

EventKind = Literal[
    "queued", "started", "progress", "image", "done", "failed", "cancelled", "warning"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """What happened to a job; which fields are set depends on the kind."""

    job_id: str
    kind: EventKind
    index: int | None = None  # of the picture, from 0
    progress: Progress | None = None
    stored: StoredImage | None = None  # None in an "image" event: the history could not keep it
    image: Image | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPolicy:
    """Bounds of the queue."""

    max_queued: int = 64  # jobs
    max_running: int = 16  # pictures given to the runner; more would only wait there
    max_attempts: int = 3  # starts of one job, crashes of the server between them
    retry_s: float = 2.0  # until the history is tried again


@dataclass(slots=True, eq=False)
class _Running:
    job: Job
    tickets: dict[int, Ticket] = field(default_factory=dict)  # unfinished, by index
    error: str | None = None
    cancelled: bool = False  # by its owner
    dropped: bool = False  # by the runner, which was closed


@dataclass(frozen=True, slots=True)
class _Finished:
    job_id: str
    index: int
    future: Future[Image]


@dataclass(frozen=True, slots=True)
class _Cancel:
    job_id: str


@dataclass(frozen=True, slots=True)
class _Wake:
    pass


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


_Message = _Finished | _Cancel | _Wake | _Stop


class JobRunner:
    """Runs stored jobs until closed; safe to call from any thread.

    Events come from its thread and the runner's: return quickly. When the history fails, pictures
    are still made and handed out with the events, and "warning" says what was not kept.
    """

    def __init__(
        self,
        gallery: Gallery,
        runner: Runner,
        observe: Callable[[JobEvent], None] = lambda _: None,
        policy: JobPolicy | None = None,
        *,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._gallery = gallery
        self._database = gallery.database
        self._runner = runner
        self._observe = observe
        self._policy = policy or JobPolicy()
        self._now_us = now_us
        self._new_id = new_id
        self._running: dict[str, _Running] = {}
        self._unwritten: deque[Callable[[], None]] = deque()  # ends that the history must take
        self._troubled = False  # the history failed: try again soon
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        gallery.files.discard_unfinished()
        self._database.write(store.recover, self._policy.max_attempts, now_us())
        self._thread = threading.Thread(target=self._run, name="mezzotint-jobs", daemon=True)
        self._thread.start()
        self._inbox.put(_Wake())

    def submit(
        self,
        order: Order,
        *,
        key_id: str = LOCAL,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> Job:
        """Check and store a job; it survives whatever happens next.

        RequestError outside the model's limits; ConflictError and QueueFullError as in `store`;
        ResourceError when the history cannot take it.
        """
        new = NewJob(
            order=self._pinned(order),
            fingerprint=fingerprint(order),
            key_id=key_id,
            priority=priority,
            idempotency_key=idempotency_key,
        )
        id = self._new_id()
        job = self._database.write(
            store.create, new, id=id, now_us=self._now_us(), max_queued=self._policy.max_queued
        )
        if job.id == id:
            self._tell(JobEvent(job_id=id, kind="queued"))
            self._inbox.put(_Wake())
        return job

    def cancel(self, job_id: str) -> None:
        """End a job that has not ended; a running one ends within two steps of its pictures."""
        self._inbox.put(_Cancel(job_id))

    def close(self) -> None:
        """Stop taking jobs; what runs goes back to the queue for the next start."""
        self._inbox.put(_Stop())
        self._thread.join()

    def _pinned(self, order: Order) -> Order:
        if not 1 <= order.n <= MAX_PICTURES:
            raise RequestError(f"n is {order.n}; ask for 1 to {MAX_PICTURES} pictures")
        seed = resolve(order.request, self._runner.spec).seed
        pinned = replace(order, request=replace(order.request, seed=seed))
        for request in requests_of(pinned):
            resolve(request, self._runner.spec)
        return pinned

    def _run(self) -> None:
        while not isinstance(message := self._next(), _Stop):
            try:
                self._write_ends()
                self._handle(message)
                self._take()
                self._troubled = False
            except ResourceError as error:  # what runs goes on; the rest is tried again
                if not self._troubled:
                    self._tell(JobEvent(job_id="", kind="warning", error=str(error)))
                self._troubled = True
        self._stop()

    def _next(self) -> _Message:
        try:
            return self._inbox.get(timeout=self._policy.retry_s if self._troubled else None)
        except queue.Empty:
            return _Wake()

    def _handle(self, message: _Message) -> None:
        match message:
            case _Finished(job_id, index, future):
                self._finish(job_id, index, future)
            case _Cancel(job_id) if job_id in self._running:
                running = self._running[job_id]
                running.cancelled = True
                for ticket in running.tickets.values():
                    ticket.cancel()
            case _Cancel(job_id):
                self._end(job_id, "cancelled")

    def _take(self) -> None:
        """Start waiting jobs while the runner has room."""
        while sum(len(each.tickets) for each in self._running.values()) < self._policy.max_running:
            held = Counter(each.job.key_id for each in self._running.values())
            job = choose(self._database.read(store.queued), held)
            if job is None:
                return
            kept = {image.index for image in self._database.read(images.of_job, job.id)}
            if self._database.write(store.start, job.id, self._now_us()):
                self._start(job, [i for i in range(job.order.n) if i not in kept])

    def _start(self, job: Job, missing: list[int]) -> None:
        running = self._running[job.id] = _Running(job)
        self._tell(JobEvent(job_id=job.id, kind="started"))
        requests = requests_of(job.order)
        try:
            tickets = self._runner.submit_all([requests[i] for i in missing])
        except Cancelled:
            running.dropped = True
        except Exception as error:  # whatever it is, it must end this job and no other
            running.error = str(error)
        else:
            running.tickets = dict(zip(missing, tickets, strict=True))
        for index, ticket in list(running.tickets.items()):
            self._follow(job.id, index, ticket)
        self._end_if_over(running)

    def _follow(self, job_id: str, index: int, ticket: Ticket) -> None:
        def progressed(progress: Progress) -> None:
            event = JobEvent(job_id=job_id, kind="progress", index=index, progress=progress)
            self._tell(event)

        ticket.on_progress(progressed)
        ticket.future.add_done_callback(
            lambda future: self._inbox.put(_Finished(job_id, index, future))
        )

    def _finish(self, job_id: str, index: int, future: Future[Image]) -> None:
        running = self._running[job_id]
        del running.tickets[index]
        try:
            self._keep(running.job, index, future.result())
        except Cancelled:
            running.dropped = True
        except Exception as error:  # whatever it is, it must end this job and no other
            running.error = str(error)
        self._end_if_over(running)

    def _keep(self, job: Job, index: int, image: Image) -> None:
        stored = None
        try:
            stored = self._gallery.save(job, index, image, self._now_us())
        finally:  # whoever waits gets the picture, kept or not
            self._tell(
                JobEvent(job_id=job.id, kind="image", index=index, stored=stored, image=image)
            )

    def _end_if_over(self, running: _Running) -> None:
        if running.tickets:
            return
        job = running.job
        del self._running[job.id]
        if running.error is not None:
            self._end(job.id, "failed", running.error)
        elif running.cancelled:
            self._end(job.id, "cancelled")
        elif running.dropped:
            self._database.write(store.put_back, job.id)
            raise ResourceError("the engine was closed; its jobs wait for the next one")
        else:
            self._end(job.id, "done")

    def _end(
        self,
        job_id: str,
        state: Literal["done", "failed", "cancelled"],
        error: str | None = None,
    ) -> None:
        now_us = self._now_us()

        def write() -> None:
            if self._database.write(store.end, job_id, state, now_us, error):
                self._tell(JobEvent(job_id=job_id, kind=state, error=error))

        self._unwritten.append(write)
        self._write_ends()

    def _write_ends(self) -> None:
        while self._unwritten:
            self._unwritten[0]()
            self._unwritten.popleft()

    def _stop(self) -> None:
        with suppress(ResourceError):  # what is not written is found by the next start
            self._write_ends()
            for running in self._running.values():
                self._database.write(store.put_back, running.job.id)
        for running in self._running.values():
            for ticket in running.tickets.values():
                ticket.cancel()

    def _tell(self, event: JobEvent) -> None:
        try:
            self._observe(event)
        except Exception:  # an observer's defect must not end the thread that keeps pictures
            _log.exception("an observer of jobs broke")


def choose(queued: Iterable[Job], held: Mapping[str, int]) -> Job | None:
    """The job to take next: highest priority, then whose key holds the fewest, then the oldest."""
    return min(
        queued,
        key=lambda job: (-job.priority, held.get(job.key_id, 0), job.created_us, job.id),
        default=None,
    )
