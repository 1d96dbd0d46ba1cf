"""One worker as the pool sees it: a process that is replaced whenever it breaks."""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mezzotint.engine.plan import Largest
from mezzotint.engine.ticket import HeldTicket
from mezzotint.types import Format, MezzotintError, Provenance, Recipe
from mezzotint.workers.channel import Channel
from mezzotint.workers.errors import WorkerError, error_of
from mezzotint.workers.frames import (
    Close,
    FrameError,
    Loading,
    Open,
    Ready,
    Refused,
    ToPool,
    decode_to_pool,
    encode,
)
from mezzotint.workers.pace import Pace, Policy
from mezzotint.workers.placement import Seat, Waiting
from mezzotint.workers.spawn import Launch, describe_exit, spawn

WorkerState = Literal["loading", "ready", "restarting", "failed", "closed"]

_log = logging.getLogger(__name__)
_HOPELESS = ("model", "config")  # another try finds the same files


class WorkerBroken(Exception):
    """A worker said itself that it cannot go on."""


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way to a picture."""

    ticket: HeldTicket
    payload: bytes  # its Submit frame, so that a re-run is the same request
    format: Format
    step_cost: float  # TFLOP
    waiting: Waiting
    submitted: float  # seconds
    placed: float = 0.0
    cancelled: bool = False

    @property
    def recipe(self) -> Recipe:
        return self.ticket.recipe


class Owner(Protocol):
    """What a worker tells the pool, from its own thread."""

    def on_ready(self, worker: Worker) -> None: ...

    def on_frame(self, worker: Worker, frame: ToPool) -> None:
        """Take note of a frame. FrameError or WorkerBroken make the worker be replaced."""
        ...

    def on_lost(self, worker: Worker, reason: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One worker, as shown to an operator."""

    index: int
    state: WorkerState
    running: int
    restarts: int
    error: str | None  # why it is failed, or was last replaced


@dataclass(slots=True, eq=False)
class Worker:
    """Runs a thread that starts the process, listens to it, and starts another when it breaks.

    The fields after `owner` change under the pool's lock.
    """

    index: int
    launch: Launch
    policy: Policy
    owner: Owner
    lock: threading.RLock
    state: WorkerState = "loading"
    running: dict[int, Job] = field(default_factory=dict)
    provenance: Provenance | None = None
    largest: Largest | None = None  # what its last process had memory for
    restarts: int = 0
    error: MezzotintError | None = None  # why it is failed, or was last replaced
    pace: Pace = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    channel: Channel | None = None
    since: float = 0.0  # when the process was started
    loaded: float = 0.0  # the share of its weights that was read
    _closing: bool = False
    _kill_reason: str | None = None
    _refusal: MezzotintError | None = None
    _load_failures: int = 0
    _failures: list[float] = field(default_factory=list)  # times of breaks, for the backoff
    _outbox: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(self.policy)
        name = f"mezzotint-worker-{self.index}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, payload: bytes) -> None:
        """Queue a frame; never waits, whatever the worker does."""
        self._outbox.put(payload)

    def kill(self, reason: str) -> None:
        """End the process; its thread takes it from there."""
        with self.lock:
            if self.process is not None and self._kill_reason is None:
                self._kill_reason = reason
                _end(self.process)
                if self.channel is not None:
                    self.channel.hang_up()

    def close(self) -> None:
        """Ask the process to exit; no other is started."""
        with self.lock:
            self._closing = True
            self.send(encode(Close()))
            self._wake.set()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end (seconds). -> whether it came."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def overdue(self, now: float) -> str | None:
        """Why it must be given up, if it must."""
        if self.process is None:
            return None
        if self.state != "ready":
            late = now - self.since > self.policy.load_s
            return f"did not load within {self.policy.load_s:g} s" if late else None
        if not self.running:
            return None
        patience = self.pace.patience(max(job.step_cost for job in self.running.values()))
        if now - self.pace.last <= patience:
            return None
        return f"made no step for {patience:.0f} s"

    def status(self) -> WorkerStatus:
        return WorkerStatus(
            index=self.index,
            state=self.state,
            running=len(self.running),
            restarts=self.restarts,
            error=str(self.error) if self.error is not None else None,
        )

    def seat(self) -> Seat:
        """What it has room for."""
        jobs = self.running.values()
        return Seat(
            worker=self.index,
            room=self.launch.depth - len(jobs),
            load=sum(job.waiting.cost for job in jobs),
            empty=not jobs,
            suspect=any(job.waiting.suspect for job in jobs),
        )

    def job(self, number: int) -> Job:
        """The one that it speaks of; FrameError where it does not have it."""
        job = self.running.get(number)
        if job is None:
            raise FrameError(f"it spoke of request {number}, which it does not have")
        return job

    def _run(self) -> None:
        while not self._closing and self.state != "failed":
            reason = self._live()
            self._note_loss(reason)
            self.owner.on_lost(self, reason)
            if self.state == "restarting":
                self._wake.wait(self._backoff())
        with self.lock:
            if self._closing:
                self.state = "closed"

    def _live(self) -> str:
        """One process from start to end. -> why it ended, in words."""
        try:
            process, channel = spawn(self.launch)
        except OSError as error:
            return f"could not be started ({error})"
        writer = self._begin(process, channel)
        try:
            broken = self._listen(channel)
        finally:
            _end(process)
            channel.hang_up()
            self._outbox.put(None)
            writer.join()
            channel.close()
            code = process.wait()
        with self.lock:
            self.process = self.channel = None
            return self._kill_reason or broken or describe_exit(code)

    def _begin(self, process: subprocess.Popen[bytes], channel: Channel) -> threading.Thread:
        with self.lock:
            self.process, self.channel = process, channel
            self.since = time.monotonic()
            self.pace = Pace(self.policy)
            self._kill_reason = self._refusal = None
            self.loaded = 0.0
            self._outbox = queue.SimpleQueue()
            self.send(encode(Open(self.launch.config)))
            if self._closing:  # it was asked while this one was being started
                self.send(encode(Close()))
        writer = threading.Thread(target=_write, args=(channel, self._outbox), daemon=True)
        writer.start()
        return writer

    def _listen(self, channel: Channel) -> str | None:
        """Read frames until the process is gone (None) or cannot be trusted (why)."""
        try:
            while (payload := channel.receive()) is not None:
                frame = decode_to_pool(payload)
                if isinstance(frame, Loading):
                    self._note_loading(frame)
                elif isinstance(frame, Ready):
                    self._note_ready(frame)
                elif isinstance(frame, Refused):
                    raise WorkerBroken(self._note_refusal(frame))
                else:
                    self.owner.on_frame(self, frame)
        except FrameError as error:
            return f"answered nonsense ({error})"
        except WorkerBroken as error:
            return str(error)
        except Exception as error:  # a defect of ours must leave nobody waiting for ever
            return f"could not be listened to ({type(error).__name__}: {error})"
        return None

    def _note_loading(self, frame: Loading) -> None:
        with self.lock:
            if self.state == "ready" or not 0 <= frame.done <= frame.total or not frame.total:
                raise FrameError("it said that it loads what cannot be")
            self.loaded = frame.done / frame.total

    def _note_ready(self, frame: Ready) -> None:
        with self.lock:
            if self.state == "ready":
                raise FrameError("it said twice that it is ready")
            self.provenance = frame.provenance
            self.largest = frame.largest
            self.state = "ready"
            self.error = None
            self._load_failures = 0
        _log.info("worker %d is ready", self.index)
        self.owner.on_ready(self)

    def _note_refusal(self, frame: Refused) -> str:
        with self.lock:
            if self.state == "ready":
                raise FrameError("it refused to load after it was ready")
            self._refusal = error_of(frame.kind, frame.message)
            if frame.kind in _HOPELESS:
                self._load_failures = self.policy.load_failures
        return frame.message

    def _note_loss(self, reason: str) -> None:
        with self.lock:
            if self._closing:
                return
            self._failures.append(time.monotonic())
            if self.state != "ready":
                self._load_failures += 1
            sentence = f"worker {self.index} {reason}; see its log"
            self.error = self._refusal or WorkerError(sentence)
            if self._load_failures >= self.policy.load_failures:
                self.state = "failed"
            else:
                self.state = "restarting"
                self.restarts += 1
            _log.warning("worker %d %s: %s", self.index, self.state, self.error)

    def _backoff(self) -> float:
        recent = [at for at in self._failures if time.monotonic() - at < 60.0]
        self._failures = recent
        return min(self.policy.backoff_s * 2.0 ** (len(recent) - 1), self.policy.max_backoff_s)


def _write(channel: Channel, outbox: queue.SimpleQueue[bytes | None]) -> None:
    with suppress(OSError):  # it is gone: the listener notices by itself
        while (payload := outbox.get()) is not None:
            channel.send(payload)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started: it leads a session of its own."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
