"""Several workers as one Runner: requests are placed, lost ones re-run, broken workers replaced."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, Self

from mezzotint.engine.plan import Largest
from mezzotint.engine.record import Mark, Observation, picture_of
from mezzotint.engine.stats import EngineStats, Outcome, Stats
from mezzotint.engine.ticket import HeldTicket
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec
from mezzotint.types import (
    Cancelled,
    MezzotintError,
    Provenance,
    Request,
    RequestError,
    Span,
)
from mezzotint.workers.errors import WorkerError, error_of
from mezzotint.workers.frames import (
    Cancel,
    Failed,
    Finished,
    FrameError,
    Observed,
    Progressed,
    Submit,
    ToPool,
    encode,
)
from mezzotint.workers.pace import Policy
from mezzotint.workers.picture import read_image, read_progress
from mezzotint.workers.placement import Waiting, place
from mezzotint.workers.spawn import Launch
from mezzotint.workers.watch import Watch
from mezzotint.workers.worker import Job, Worker, WorkerBroken, WorkerStatus

PoolState = Literal["loading", "ready", "restarting", "failed", "closed"]

_WATCH_S = 0.25


class Pool:
    """Makes pictures with one model in several processes; safe to call from any thread.

    Requests wait until a worker is ready. Seeds are drawn here, so that a request whose worker
    broke is made again, once, as the same picture; after that it fails with WorkerError. Close it,
    or use it in a `with` statement.
    """

    def __init__(
        self, spec: ModelSpec, launches: Sequence[Launch], policy: Policy | None = None
    ) -> None:
        self.spec = spec
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._ids = itertools.count()
        self._pending: deque[Job] = deque()
        self._stats = Stats()
        self._watching = Watch()
        self._closed = False
        self._provenance: Provenance | None = None
        self._policy = policy or Policy()
        self._workers = [
            Worker(index, launch, self._policy, self, self._lock)
            for index, launch in enumerate(launches)
        ]
        self._stop_watching = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="mezzotint-watch", daemon=True)
        for worker in self._workers:
            worker.start()
        self._watcher.start()

    @property
    def provenance(self) -> Provenance:
        """The first ready worker's; waits for it, or raises why none can be."""
        with self._changed:
            while self._provenance is None:
                self._raise_if_useless()
                self._changed.wait()
            return self._provenance

    @property
    def largest(self) -> Largest:
        """What every worker that was ever ready has memory for: any of them may get a request."""
        with self._lock:
            known = [worker.largest for worker in self._workers if worker.largest is not None]
        most = self.spec.limits.max_pixels
        return Largest(
            plain=min((each.plain for each in known), default=most),
            guided=min((each.guided for each in known), default=most),
        )

    @property
    def state(self) -> PoolState:
        """The best that any worker is in."""
        with self._lock:
            if self._closed:
                return "closed"
            states = {worker.state for worker in self._workers}
        order: tuple[PoolState, ...] = ("ready", "loading", "restarting", "failed")
        return next(state for state in order if state in states)

    @property
    def loaded(self) -> float:
        """The share of its weights that the first worker to be ready has read, 0 to 1."""
        with self._lock:
            return max(worker.loaded for worker in self._workers)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Every worker's state."""
        with self._lock:
            return tuple(worker.status() for worker in self._workers)

    def submit(self, request: Request) -> HeldTicket:
        """Check a request and queue it. RequestError when it is outside the model's limits.

        A prompt is tokenized by the worker only: one that is too long ends the ticket with
        RequestError. The error of a pool without any worker left is raised here.
        """
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[Request]) -> list[HeldTicket]:
        """Queue several requests, or none of them if one is wrong (RequestError)."""
        jobs = [self._job(request) for request in requests]
        with self._lock:
            self._raise_if_useless()
            self._pending.extend(jobs)
            self._place()
        return [job.ticket for job in jobs]

    def stats(self) -> EngineStats:
        """Counts, and median milliseconds by stage."""
        with self._lock:
            gpu = self._provenance is not None and self._provenance.device != "cpu"
            return EngineStats(
                waiting=len(self._pending),
                running=sum(len(worker.running) for worker in self._workers),
                outcomes=dict(self._stats.outcomes),
                stage_ms=self._stats.stage_ms(),
                clock="device" if gpu else "host",
            )

    def observe(self, after: Mark) -> Observation:
        """What ran and ended since a mark, and where every worker's device stands."""
        return self._watching.observe(after)

    def close(self, drain_s: float = 0.0) -> None:
        """Refuse new requests, let accepted ones finish for so long, cancel the rest, end workers.

        Takes at most `drain_s` and the policy's `close_s` seconds; then processes are killed.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(self._is_idle, drain_s)
            dropped = self._take_pending()
            for worker in self._workers:
                worker.close()
        self._resolve(dropped, Cancelled("the pool was closed"))
        self._join_all()
        # What a worker gave back that was lost just before it was asked to close.
        self._resolve(self._take_pending(), Cancelled("the pool was closed"))
        self._stop_watching.set()
        self._watcher.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def on_ready(self, worker: Worker) -> None:
        """A worker's weights are loaded: give it work."""
        with self._changed:
            if self._provenance is None:
                self._provenance = worker.provenance
            self._place()
            self._changed.notify_all()

    def on_frame(self, worker: Worker, frame: ToPool) -> None:
        """A worker tells what became of a request."""
        match frame:
            case Progressed():
                self._progress(worker, frame)
            case Finished():
                self._finish(worker, frame)
            case Failed():
                self._fail(worker, frame)
            case Observed():
                self._watching.observed(worker.index, frame)

    def on_lost(self, worker: Worker, reason: str) -> None:
        """A worker's process has ended: re-run what it held."""
        self._watching.lost(worker.index)
        with self._changed:
            lost = list(worker.running.values())
            worker.running.clear()
            closing = self._closed and worker.state == "ready"
            error = WorkerError(
                f"the worker {reason} while making this picture, twice; try another request, and "
                "see the worker's log"
            )
            cancelled = [job for job in lost if job.cancelled or closing]
            failed = [job for job in lost if job not in cancelled and job.waiting.suspect]
            self._rerun(job for job in lost if job not in cancelled and job not in failed)
            useless = self._error_of_all()
            given_up = self._take_pending() if useless is not None else []
            self._place()
            self._changed.notify_all()
        self._resolve(cancelled, Cancelled("the picture was cancelled"))
        self._resolve(failed, error)
        if useless is not None:
            self._resolve(given_up, useless)

    def _job(self, request: Request) -> Job:
        recipe = resolve(request, self.spec)
        number = next(self._ids)
        pinned = replace(request, seed=recipe.seed)
        try:
            payload = encode(Submit(number, pinned))
        except FrameError as error:
            raise RequestError(f"the prompt is far too long ({error}); shorten it") from error
        cost = self.spec.cost(recipe)
        ticket = HeldTicket(number, recipe, self._cancel)
        waiting = Waiting(number, cost * recipe.steps, suspect=False)
        return Job(ticket, payload, request.format, cost, waiting, time.monotonic())

    def _cancel(self, number: int) -> None:
        with self._changed:
            waiting = [job for job in self._pending if job.ticket.id == number]
            for job in waiting:
                self._pending.remove(job)
            for worker in self._workers:
                if number in worker.running:
                    worker.running[number].cancelled = True
                    worker.send(encode(Cancel(number)))
            self._changed.notify_all()
        self._resolve(waiting, Cancelled("the picture was cancelled"))

    def _place(self) -> None:
        """Give waiting requests to workers that have room; the caller holds the lock."""
        seats = [worker.seat() for worker in self._workers if worker.state == "ready"]
        most = 2 * sum(worker.launch.depth for worker in self._workers)
        queue = {job.ticket.id: job for job in itertools.islice(self._pending, most)}
        for number, index in place([job.waiting for job in queue.values()], seats):
            self._start(queue[number], self._workers[index])

    def _start(self, job: Job, worker: Worker) -> None:
        job.placed = time.monotonic()
        self._pending.remove(job)
        if not worker.running:
            worker.pace.begin(job.placed)
        worker.running[job.ticket.id] = job
        worker.send(job.payload)

    def _progress(self, worker: Worker, frame: Progressed) -> None:
        with self._lock:
            job = worker.job(frame.id)
            worker.pace.note(frame.stage, job.step_cost, time.monotonic())
        progress = read_progress(worker, job, frame)
        try:
            job.ticket.report(progress)
        except BaseException as error:  # the caller's callback broke: its request ends with that
            job.ticket.fail(error)
            self._cancel(frame.id)

    def _finish(self, worker: Worker, frame: Finished) -> None:
        with self._lock:
            job = worker.job(frame.id)
        image = read_image(worker, job, frame)
        self._release(worker, job)
        with self._lock:
            worker.pace.finished += 1
        self._note_end(job, "finished", image.spans, worker.index)
        job.ticket.succeed(image)

    def _fail(self, worker: Worker, frame: Failed) -> None:
        error = error_of(frame.kind, frame.message)
        with self._lock:
            job = worker.job(frame.id)
            if frame.kind == "device":  # the job stays with the worker, to be lost with it
                raise WorkerBroken(f"lost its device ({frame.message})")
        again = frame.kind == "resource" and not (job.waiting.suspect or job.cancelled)
        self._release(worker, job, again)
        if not again:
            self._resolve([job], error)

    def _release(self, worker: Worker, job: Job, again: bool = False) -> None:
        with self._changed:
            del worker.running[job.ticket.id]
            worker.pace.begin(time.monotonic())
            if again:  # memory may have run out in company; alone it may do
                self._rerun([job])
            self._place()
            self._changed.notify_all()

    def _rerun(self, jobs: Iterable[Job]) -> None:
        again = [*jobs]
        for job in again:
            job.waiting = replace(job.waiting, suspect=True)
        self._pending.extendleft(reversed(again))

    def _take_pending(self) -> list[Job]:
        with self._lock:
            taken = list(self._pending)
            self._pending.clear()
            return taken

    def _resolve(self, jobs: Iterable[Job], error: MezzotintError) -> None:
        """End tickets, outside the lock: their callbacks may call the pool."""
        for job in jobs:
            self._note_end(job, "cancelled" if isinstance(error, Cancelled) else "failed")
            job.ticket.fail(error)

    def _note_end(
        self, job: Job, outcome: Outcome, spans: tuple[Span, ...] = (), device: int = 0
    ) -> None:
        when_s = (job.submitted, time.monotonic())
        number, recipe = job.ticket.id, job.recipe
        picture = picture_of(number, outcome, recipe, job.step_cost, spans, when_s, device)
        self._watching.ended(picture)
        with self._lock:
            self._stats.record(outcome, spans)

    def _raise_if_useless(self) -> None:
        if self._closed:
            raise Cancelled("the pool was closed; open another one")
        error = self._error_of_all()
        if error is not None:
            raise error

    def _error_of_all(self) -> MezzotintError | None:
        """Why no worker will ever be ready again, if that is so."""
        if any(worker.state != "failed" for worker in self._workers):
            return None
        error = self._workers[0].error or WorkerError("no worker can be started; see the log")
        return type(error)(str(error))  # raised more than once: each with its own traceback

    def _is_idle(self) -> bool:
        return not self._pending and not any(worker.running for worker in self._workers)

    def _join_all(self) -> None:
        deadline = time.monotonic() + self._policy.close_s
        for worker in self._workers:
            if not worker.join(max(0.0, deadline - time.monotonic())):
                worker.kill("did not close in time")
                worker.join(self._policy.close_s)

    def _watch(self) -> None:
        while not self._stop_watching.wait(_WATCH_S):
            with self._lock:
                for worker in self._workers:
                    reason = worker.overdue(time.monotonic())
                    if reason is not None:
                        worker.kill(reason)
