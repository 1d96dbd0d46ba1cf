"""The engine's thread: schedule, launch, look what has run, tell the tickets."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mezzotint.engine.at_exit import close_at_exit
from mezzotint.engine.executor import Executor
from mezzotint.engine.graphs import GraphTally
from mezzotint.engine.host_threads import limit_host_threads
from mezzotint.engine.out_of_memory import explain, ran_out_of_memory
from mezzotint.engine.pack import STAGES, DecodePack, DenoisePack, Pack
from mezzotint.engine.record import Interval
from mezzotint.engine.recorder import Recorder
from mezzotint.engine.scheduler import Completion, Scheduler, Work
from mezzotint.engine.stage import Launch
from mezzotint.engine.stats import Outcome
from mezzotint.engine.ticket import EngineTicket
from mezzotint.types import Cancelled, Image, Progress, ProgressStage, ResourceError

MakeImage = Callable[[EngineTicket, np.ndarray], Image]


@dataclass(frozen=True, slots=True)
class _Submit:
    ticket: EngineTicket
    work: Work


@dataclass(frozen=True, slots=True)
class _Cancel:
    request: int


@dataclass(frozen=True, slots=True)
class _Close:
    pass


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    pack: Pack
    launch: Launch
    replayed: bool  # from graphs alone


@dataclass(frozen=True, slots=True, eq=False)
class _Ran:
    flight: _Flight
    outcome: Interval | Exception


class Loop:
    """Runs until closed. Only its thread touches the scheduler and the executor."""

    def __init__(
        self,
        scheduler: Scheduler,
        executor: Executor,
        recorder: Recorder,
        graphs: GraphTally,
        make_image: MakeImage,
        file_workers: int,
        host_threads: int | None,
        prepare: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._executor = executor
        self._recorder = recorder
        self._graphs = graphs
        self._make_image = make_image
        self._host_threads = host_threads
        self._prepare = prepare  # run first, on the engine's thread
        self._prepared: Future[None] = Future()
        self._here = threading.local()  # `own` in threads of this loop that call callers back
        self._files = ThreadPoolExecutor(
            file_workers, thread_name_prefix="mezzotint-file", initializer=self._mark_own
        )
        # One thread a stage waits for its launches, so that this one hears of whatever ends first.
        self._watchers = {
            stage: ThreadPoolExecutor(1, thread_name_prefix=f"mezzotint-{stage}")
            for stage in STAGES
        }
        self._inbox: queue.SimpleQueue[_Submit | _Cancel | _Close | _Ran] = queue.SimpleQueue()
        self._tickets: dict[int, EngineTicket] = {}
        self._flights: list[_Flight] = []  # not landed yet, oldest first
        self._outcomes: dict[_Flight, Interval | Exception] = {}  # of those that have run
        self._open = True  # the thread's own view
        self._closed = False  # the callers' view; changes under the lock, so that no submission
        self._lock = threading.Lock()  # can follow the close into the inbox
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="mezzotint-engine", daemon=True)
        self._thread.start()
        close_at_exit(self)

    def wait_until_prepared(self) -> None:
        """Raises what `prepare` did."""
        self._prepared.result()

    def submit(self, ticket: EngineTicket, work: Work) -> None:
        if os.getpid() != self._process:
            raise ResourceError(
                "the engine was opened in the process that this one was forked from, and its "
                "threads are there; open one here"
            )
        with self._lock:
            if self._closed:
                raise Cancelled("the engine was closed; open another one")
            self._inbox.put(_Submit(ticket, work))

    def cancel(self, request: int) -> None:
        self._inbox.put(_Cancel(request))

    def is_own_thread(self) -> bool:
        """Whether the caller is called back by this loop, which waits for it to return."""
        return getattr(self._here, "own", False)

    def close(self) -> None:
        """Cancel what is not finished and end the thread; files being written are finished.

        From a callback it only begins to: the thread cannot wait for its own end.
        """
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self._inbox.put(_Close())
        if self.is_own_thread():
            return
        self._thread.join()
        for pool in (*self._watchers.values(), self._files):
            pool.shutdown()
        with self._lock:  # whoever closes it too; each close that comes here finishes the first
            self._executor.close()
            self._graphs.close()

    def _mark_own(self) -> None:
        self._here.own = True

    def _run(self) -> None:
        self._mark_own()
        try:
            with limit_host_threads(self._host_threads):
                self._get_ready()
                self._turn()
        except BaseException as error:  # a defect of ours must leave nobody waiting for ever
            self._abandon(error)
            raise

    def _get_ready(self) -> None:
        try:
            self._prepare()
        except Exception as error:  # whoever opened the engine must hear of it, whatever it is
            self._prepared.set_exception(error)
        else:
            self._prepared.set_result(None)

    def _turn(self) -> None:
        packs: tuple[Pack, ...] = ()
        while self._open or self._flights:
            self._read_inbox(wait=not packs)
            packs = self._scheduler.tick()
            for pack in packs:
                self._launch(pack)

    def _abandon(self, error: BaseException) -> None:
        with self._lock:
            self._closed = True
        while not self._inbox.empty():
            command = self._inbox.get()
            if isinstance(command, _Submit):
                self._tickets[command.work.id] = command.ticket
        for ticket in self._tickets.values():
            ticket.fail(error)
        self._tickets.clear()

    def _read_inbox(self, *, wait: bool) -> None:
        """Act on all that has come, and wait for something where there is nothing to launch."""
        while wait or not self._inbox.empty():
            wait = False
            match self._inbox.get():
                case _Ran(flight, outcome):
                    self._outcomes[flight] = outcome
                    for landable in self._landable():
                        self._land(landable)
                case _Submit(ticket, work):
                    self._tickets[work.id] = ticket
                    submitted_s = ticket.timeline.submitted
                    self._recorder.arrived(work.id, work.recipe, work.cost, submitted_s)
                    self._scheduler.submit(work)
                case _Cancel(request):
                    self._drop(request, Cancelled("the picture was cancelled"))
                case _Close():
                    self._open = False
                    for request in list(self._tickets):
                        self._drop(request, Cancelled("the engine was closed"))

    def _drop(self, request: int, error: BaseException) -> None:
        """End a ticket now; its slot is freed when nothing of it is in flight any more."""
        ticket = self._tickets.pop(request, None)
        if ticket is None:
            return
        if self._scheduler.drop(request):
            self._executor.forget(request)
        outcome: Outcome = "cancelled" if isinstance(error, Cancelled) else "failed"
        self._recorder.ended(request, outcome)
        ticket.fail(error)

    def _launch(self, pack: Pack) -> None:
        self._recorder.launching(pack)
        before = self._graphs.count()
        ran_out = False
        try:
            launch = self._executor.launch(pack)
        except Exception as error:  # whatever broke ends this pack's requests, never the engine
            ran_out = ran_out_of_memory(error)
            failure = explain(pack, error) if ran_out else error
        else:
            self._fly(_Flight(pack, launch, self._graphs.only_replays_since(before)))
            return
        if ran_out:  # only here are the frames gone that held what the pack had allocated
            self._executor.recover(self._graphs.forget)
        self._fail(pack, failure)

    def _fly(self, flight: _Flight) -> None:
        self._flights.append(flight)
        if flight.launch.done():
            self._watch(flight)
        else:
            self._watchers[flight.pack.stage].submit(self._watch, flight)

    def _watch(self, flight: _Flight) -> None:
        try:
            outcome: Interval | Exception = flight.launch.wait()
        except Exception as error:  # an asynchronous failure of the device
            outcome = error
        self._inbox.put(_Ran(flight, outcome))

    def _landable(self) -> list[_Flight]:
        """What has run, each after all that its requests did before.

        Each stage has its own watcher, so a picture's decoding can be heard of before its last
        step.
        """
        landable: list[_Flight] = []
        ahead: set[int] = set()  # requests with something earlier still to hear of
        for flight in self._flights:
            if flight in self._outcomes and ahead.isdisjoint(flight.pack.requests):
                landable.append(flight)
            else:
                ahead.update(flight.pack.requests)
        return landable

    def _land(self, flight: _Flight) -> None:
        self._flights.remove(flight)
        outcome = self._outcomes.pop(flight)
        if isinstance(outcome, Exception):
            self._fail(flight.pack, outcome)
            return
        try:
            copies = self._copies(flight.pack)
        except Exception as error:  # as when it is launched: the host's memory may run out here
            failure = explain(flight.pack, error) if ran_out_of_memory(error) else error
            self._fail(flight.pack, failure)
            return
        self._recorder.ran(flight.pack, outcome, flight.replayed)
        self._complete(flight.pack, outcome, copies)

    def _fail(self, pack: Pack, error: Exception) -> None:
        self._recorder.lost(pack)
        failed = self._scheduler.fail(pack)
        for request in pack.requests:
            self._executor.forget(request)
        for request in failed:
            ticket = self._tickets.pop(request, None)
            if ticket is not None:
                self._recorder.ended(request, "failed")
                ticket.fail(error)

    def _complete(self, pack: Pack, interval: Interval, copies: dict[int, np.ndarray]) -> None:
        completion = self._scheduler.complete(pack)
        for request in (*completion.finished, *completion.dropped):
            self._executor.forget(request)
        self._note(pack, interval)
        self._report(completion, copies)
        for request in completion.finished:
            ticket = self._tickets.pop(request, None)
            if ticket is not None:
                self._recorder.writing(request)
                self._files.submit(self._finish, ticket, copies[request])

    def _copies(self, pack: Pack) -> dict[int, np.ndarray]:
        """By request, out of its slot: the picture that was decoded, or a step's preview."""
        match pack:
            case DecodePack():
                decoded = zip(pack.requests, pack.rows, strict=True)
                return {r: self._executor.pixels(row) for r, row in decoded if r in self._tickets}
            case DenoisePack():
                stepped = zip(pack.requests, pack.rows, strict=True)
                return {r: self._executor.preview(row) for r, row in stepped if row.preview}
        return {}

    def _note(self, pack: Pack, interval: Interval) -> None:
        for request in pack.requests:
            ticket = self._tickets.get(request)
            if ticket is not None:
                if pack.stage == "encode":
                    ticket.timeline.queued_until(interval.start)
                ticket.timeline.add(pack.stage, interval.start, interval.end)

    def _report(self, completion: Completion, copies: dict[int, np.ndarray]) -> None:
        for request in completion.encoded:
            self._tell(request, "encode", 0)
        for request, step in completion.stepped:
            self._tell(request, "denoise", step, copies.get(request))
        for request in completion.finished:
            self._tell(request, "decode", self._tickets[request].recipe.steps)

    def _tell(
        self, request: int, stage: ProgressStage, step: int, preview: np.ndarray | None = None
    ) -> None:
        ticket = self._tickets[request]
        try:
            ticket.report(Progress(stage, step, ticket.recipe.steps, preview))
        except BaseException as error:  # the caller's callback broke: its request ends with that
            self._drop(request, error)

    def _finish(self, ticket: EngineTicket, pixels: np.ndarray) -> None:
        try:
            image = self._make_image(ticket, pixels)
            ticket.report(Progress("file", ticket.recipe.steps, ticket.recipe.steps))
        except BaseException as error:  # the caller must hear of it, whatever it is
            self._recorder.ended(ticket.id, "failed")
            ticket.fail(error)
            return
        self._recorder.ended(ticket.id, "finished", image.spans)
        ticket.succeed(image)
