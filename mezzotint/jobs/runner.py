"""Takes stored jobs through the line and keeps what comes of them."""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mezzotint.jobs import images, store
from mezzotint.jobs.dispatch import Dispatcher
from mezzotint.jobs.event import JobEvent
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.open_job import LiveJob, OpenJob
from mezzotint.jobs.order import MAX_PICTURES, Order, fingerprint, pin, requests_of
from mezzotint.jobs.store import LOCAL, Job, NewJob
from mezzotint.jobs.ticket import Outlook, Place, Terms
from mezzotint.types import (
    Cancelled,
    Image,
    MezzotintError,
    Progress,
    RequestError,
    ResourceError,
)
from mezzotint.workers.errors import WorkerError

_log = logging.getLogger(__name__)

_KEEPERS = 4  # threads
_TELL_S = 1.0  # positions in the line are told at most so often


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPolicy:
    """What a job is worth."""

    # Starts of one job, with a crash of the server after each. Many: pictures are made in processes
    # of their own, so that it is hardly ever the job that ends the server.
    max_attempts: int = 10
    retry_s: float = 2.0  # until the history is tried again


_Task = Callable[[], None]


class JobRunner:
    """Runs stored jobs until closed; safe to call from any thread.

    What was queued or running when the server last ended waits again. Events come from one thread,
    in the order in which things happened. While the history fails, pictures are still made; a
    "warning" says so, and what could not be kept fails its job.
    """

    def __init__(
        self,
        gallery: Gallery,
        dispatcher: Dispatcher,
        observe: Callable[[JobEvent], None] = lambda _: None,
        policy: JobPolicy | None = None,
        *,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._gallery = gallery
        self._database = gallery.database
        self._dispatcher = dispatcher
        self._observe = observe
        self._policy = policy or JobPolicy()
        self._now_us = now_us
        self._new_id = new_id
        self._open: dict[str, OpenJob] = {}
        self._unwritten: deque[Callable[[], None]] = deque()  # what the history must still take
        self._troubled = False  # the history failed: try again soon
        self._settled = False
        self._idle = threading.Event()  # settled, and nothing runs any more
        self._told_s = 0.0
        self._keepers = ThreadPoolExecutor(_KEEPERS, thread_name_prefix="mezzotint-keep")
        self._inbox: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()  # None: stop
        gallery.files.discard_unfinished()
        self._database.write(store.recover, self._policy.max_attempts, now_us())
        for job in self._database.read(store.queued):
            self._resume(job)
        self._thread = threading.Thread(target=self._run, name="mezzotint-jobs", daemon=True)
        self._thread.start()

    def submit(
        self,
        order: Order,
        *,
        key_id: str = LOCAL,
        priority: int = 0,
        deadline_s: float | None = None,
        idempotency_key: str | None = None,
        asked: object = None,
    ) -> Job:
        """Check and store a job; it survives whatever happens next.

        `asked` is the caller's own words where more than they decided went into the order: by
        these a repeat with its `idempotency_key` is known.

        RequestError outside the model's limits; QueueFullError; ConflictError as in `store`;
        ResourceError when the history cannot take it; Cancelled when the server is closing.
        """
        if not 1 <= order.n <= MAX_PICTURES:
            raise RequestError(f"n is {order.n}; ask for 1 to {MAX_PICTURES} pictures")
        now_us = self._now_us()
        new = NewJob(
            order=pin(order, self._dispatcher.spec),
            fingerprint=fingerprint(asked or (order, priority, deadline_s)),
            key_id=key_id,
            priority=priority,
            idempotency_key=idempotency_key,
            deadline_us=None if deadline_s is None else now_us + int(deadline_s * 1e6),
        )
        # Before there must be room for it: a repeat is answered though the queue is full.
        existing = self._database.read(store.find_idempotent, new)
        terms = Terms(key_id=key_id, priority=priority, deadline_s=deadline_s)
        return existing or self._accept(new, terms, now_us)

    def cancel(self, job_id: str) -> None:
        """End a job that has not ended; a running one ends within two steps of its pictures."""
        self._inbox.put(partial(self._cancel, job_id))

    def live(self) -> dict[str, LiveJob]:
        """What is known of every job that is not over, by its id."""
        outlook = self._dispatcher.outlook()
        return {id: each.live(outlook) for id, each in [*self._open.items()]}

    def settle(self) -> None:
        """Start no more pictures: what waits is left for the next start of the server."""
        self._inbox.put(self._withdraw)

    def close(self, drain_s: float = 0.0) -> None:
        """Settle, and let running pictures finish for so long; the rest waits for the next start.

        Close it before the dispatcher.
        """
        self.settle()
        self._idle.wait(drain_s)
        self._inbox.put(None)
        self._thread.join()

    def _accept(self, new: NewJob, terms: Terms, now_us: int) -> Job:
        if self._settled:
            raise Cancelled("the server is closing")
        places = self._dispatcher.admit(requests_of(new.order), terms)
        id = self._new_id()
        try:
            job = self._database.write(store.create, new, id=id, now_us=now_us)
        except BaseException:
            self._dispatcher.leave(places)
            raise
        if job.id == id:
            self._inbox.put(partial(self._enter, job, dict(enumerate(places))))
        else:
            self._dispatcher.leave(places)
        return job

    def _resume(self, job: Job) -> None:
        """Let a job that an earlier server accepted wait again, for what it lacks."""
        kept = {image.index for image in self._database.read(images.of_job, job.id)}
        requests = requests_of(job.order)
        missing = [index for index in range(job.order.n) if index not in kept]
        left_s = None if job.deadline_us is None else (job.deadline_us - self._now_us()) / 1e6
        terms = Terms(key_id=job.key_id, priority=job.priority, deadline_s=left_s)
        try:
            admitted = self._dispatcher.admit([requests[i] for i in missing], terms, bounded=False)
        except RequestError as error:  # accepted by a server with another model
            self._database.write(store.end, job.id, "failed", self._now_us(), str(error))
            return
        self._inbox.put(partial(self._enter, job, dict(zip(missing, admitted, strict=True))))

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._write_down()
                task()
                self._tell_positions()
                self._troubled = False
            except ResourceError as error:  # what runs goes on; the rest is tried again
                if not self._troubled:
                    _log.error("jobs wait for the history", exc_info=error)
                    self._tell(JobEvent(kind="warning", message=str(error)))
                self._troubled = True
            except Exception:  # a defect in one job must not end the thread that keeps the others
                _log.exception("a defect in the running of jobs")
            if self._settled and not self._open:
                self._idle.set()
        self._stop()

    def _next(self) -> _Task | None:
        wait_s = self._policy.retry_s if self._troubled else _TELL_S if self._open else None
        try:
            return self._inbox.get(timeout=wait_s)
        except queue.Empty:
            return _nothing

    def _enter(self, job: Job, places: dict[int, Place]) -> None:
        if self._settled:  # accepted this moment: it waits for the next start
            self._dispatcher.leave([*places.values()])
            return
        each = self._open[job.id] = OpenJob(job, dict(places))
        for index, place in places.items():
            self._follow(each, index, place)
        self._dispatcher.enter([*places.values()])
        self._tell_position(each, self._dispatcher.outlook())
        self._end_if_over(each)  # all pictures were there already

    def _follow(self, each: OpenJob, index: int, place: Place) -> None:
        """Hear of a picture in our own thread, in the order in which things happen to it."""
        put = self._inbox.put
        place.job = (each.job.id, index)
        place.on_start = lambda: put(partial(self._started, each, index))
        place.on_return = lambda: put(partial(self._returned, each, index))
        place.on_progress(lambda progress: put(partial(self._progress, each, index, progress)))
        place.future.add_done_callback(partial(self._over, each, index))

    def _started(self, each: OpenJob, index: int) -> None:
        each.running.add(index)
        if not each.started:  # it stays so until it is over, also between two of its pictures
            each.started = True
            tell = partial(self._tell, JobEvent(kind="started", job=each.job))
            self._write(store.start, each.job.id, self._now_us(), then=tell)

    def _returned(self, each: OpenJob, index: int) -> None:
        each.running.discard(index)
        if each.job.id in self._open and not each.running:
            each.started = False
            self._write(store.put_back, each.job.id)
            self._tell_position(each, self._dispatcher.outlook())

    def _progress(self, each: OpenJob, index: int, progress: Progress) -> None:
        each.latest = index, progress
        self._tell(JobEvent(kind="progress", job=each.job, index=index, progress=progress))

    def _over(self, each: OpenJob, index: int, future: Future[Image]) -> None:
        with suppress(RuntimeError):  # closed meanwhile: the next start makes it again
            self._keepers.submit(self._keep, each, index, future)

    def _keep(self, each: OpenJob, index: int, future: Future[Image]) -> None:
        """Keep a picture, in one of several threads: files and thumbnails take their time."""
        kept: StoredImage | BaseException
        try:
            kept = self._gallery.save(each.job, index, future.result(), self._now_us())
        except BaseException as error:  # whatever it is, it must end this job and no other
            kept = error
        self._inbox.put(partial(self._finish, each, index, kept))

    def _finish(self, each: OpenJob, index: int, kept: StoredImage | BaseException) -> None:
        del each.places[index]
        each.running.discard(index)
        if isinstance(kept, StoredImage):
            self._tell(JobEvent(kind="image", job=each.job, index=index, image=kept))
        elif isinstance(kept, Cancelled):
            each.dropped = True
        else:
            each.error = _sentence(kept, each.job)
        self._end_if_over(each)

    def _cancel(self, job_id: str) -> None:
        each = self._open.get(job_id)
        if each is None:
            return
        each.cancelled = True
        for place in [*each.places.values()]:
            place.cancel()

    def _end_if_over(self, each: OpenJob) -> None:
        if each.places:
            return
        del self._open[each.job.id]
        if each.error is not None:
            self._end(each.job, "failed", each.error)
        elif each.cancelled:
            self._end(each.job, "cancelled")
        elif each.dropped:
            self._write(store.put_back, each.job.id)
        else:
            self._end(each.job, "done")

    def _end(
        self, job: Job, state: Literal["done", "failed", "cancelled"], error: str | None = None
    ) -> None:
        event = JobEvent(kind=state, job=job, message=error)
        self._write(
            store.end, job.id, state, self._now_us(), error, then=partial(self._tell, event)
        )

    def _write(
        self, work: Callable[..., bool], *arguments: object, then: Callable[[], None] | None = None
    ) -> None:
        """Write now, or when the history takes part again, in order; `then` if it changed a row."""

        def write() -> None:
            if self._database.write(work, *arguments) and then is not None:
                then()

        self._unwritten.append(write)
        self._write_down()

    def _write_down(self) -> None:
        while self._unwritten:
            self._unwritten[0]()
            self._unwritten.popleft()

    def _withdraw(self) -> None:
        self._settled = True
        for each in self._open.values():
            for index, place in [*each.places.items()]:
                if self._dispatcher.withdraw(place):
                    del each.places[index]
                    each.dropped = True
        for each in [*self._open.values()]:
            self._end_if_over(each)

    def _stop(self) -> None:
        with suppress(ResourceError):  # what is not written is found by the next start
            self._write_down()
            for each in self._open.values():
                self._database.write(store.put_back, each.job.id)
        for each in self._open.values():
            for place in each.places.values():
                place.cancel()
        self._keepers.shutdown()

    def _tell_positions(self) -> None:
        """Tell whose place in the line changed, now and then."""
        now = time.monotonic()
        if now - self._told_s < _TELL_S:
            return
        self._told_s = now
        waiting = [each for each in self._open.values() if not each.started]
        outlook = self._dispatcher.outlook() if waiting else {}
        for each in waiting:
            if each.worth_telling(each.live(outlook).position):
                self._tell_position(each, outlook)

    def _tell_position(self, each: OpenJob, outlook: dict[int, Outlook]) -> None:
        live = each.live(outlook)
        each.told = live.position
        event = JobEvent(kind="queued", job=each.job, position=live.position, eta_s=live.eta_s)
        self._tell(event)

    def _tell(self, event: JobEvent) -> None:
        try:
            self._observe(event)
        except Exception:  # an observer's defect must not end the thread that keeps pictures
            _log.exception("an observer of jobs broke")


def _sentence(error: BaseException, job: Job) -> str:
    """Why a job failed, for its owner; the log has all that is not of the owner's own doing."""
    if isinstance(error, MezzotintError) and not isinstance(error, ResourceError):
        return str(error)
    _log.error("a job's picture failed", exc_info=error, extra={"job": job.id})
    if isinstance(error, ResourceError) and not isinstance(error, WorkerError):
        return str(error)
    return f"the server failed while making it; its log says why, under the job's id {job.id}"


def _nothing() -> None:
    """What is done when there was no task for a while."""
