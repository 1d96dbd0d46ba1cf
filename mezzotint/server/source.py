"""Where a server's runner comes from: loaded in the background while HTTP already answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mezzotint.engine.capacity import Capacity
from mezzotint.engine.runner import Runner
from mezzotint.server.errors import not_ready
from mezzotint.types import Cancelled

State = Literal["loading", "ready", "restarting", "failed", "closed"]
CountTokens = Callable[[str], int]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A runner, which may still load, and what the server must know beside it."""

    runner: Runner
    count_tokens: CountTokens  # of a prompt, template included; RequestError beyond the limit
    producer: str = "mezzotint"  # named in AI-content marks
    state: Callable[[], State] = lambda: "ready"  # asked once its provenance is known
    loaded: Callable[[], float | None] = lambda: None  # the share of the weights that was read
    bundled: bool = False  # the small model that ships with the package
    capacity: Capacity = Capacity(16)  # the other pictures wait in our own line


class RunnerSource:
    """Opens a runner once, in a thread of its own, waits for it, and closes it in the end."""

    def __init__(
        self, load: Callable[[], Served], on_failure: Callable[[], None] | None = None
    ) -> None:
        self._load = load
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._on_open: list[Callable[[Served], None]] = []
        self._opened: Served | None = None
        self._ready = False  # it was, once: it may restart or have failed since
        self._closed = False
        self._started = time.monotonic()
        # A daemon: a load takes minutes and cannot be interrupted, an end of the server must not
        # wait for it.
        self._thread = threading.Thread(target=self._run, name="mezzotint-load", daemon=True)
        self.error: BaseException | None = None

    @property
    def state(self) -> State:
        """Whether pictures can be made."""
        if self.error is not None:
            return "failed"
        if self._closed:
            return "closed"
        opened = self._opened
        return opened.state() if opened is not None and self._ready else "loading"

    @property
    def loaded(self) -> float | None:
        """The share of the weights that was read, 0 to 1; None where it is not known."""
        opened = self._opened
        return opened.loaded() if opened is not None else None

    @property
    def loading(self) -> bool:
        """Whether the thread that loads is still at it, also after `close`."""
        return self._thread.is_alive()

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def get(self) -> Served:
        """The runner; ApiError 503 until it is ready. One that restarts takes requests."""
        served = self.peek()
        if served is None:
            raise not_ready(self.state)
        return served

    def peek(self) -> Served | None:
        """The runner if it takes requests."""
        return self._opened if self.state in ("ready", "restarting") else None

    def when_open(self, callback: Callable[[Served], None]) -> None:
        """Call back from the loading thread once there is a runner; its weights may still load.

        To be said before `start`; an error of the callback is one of loading.
        """
        self._on_open.append(callback)

    def start(self) -> None:
        """Begin to load."""
        self._started = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        """Close the runner, now or as soon as it is opened."""
        with self._lock:
            self._closed = True
            opened = self._opened
        if opened is not None:
            opened.runner.close()

    def _run(self) -> None:
        try:
            name = self._open()
        except BaseException as error:  # whatever it is, /ready and the command must tell
            if self._closed and isinstance(error, Cancelled):
                return
            self.error = error
            _log.error("loading failed: %s", error)
            if self._on_failure is not None:
                self._on_failure()
            return
        _log.info("ready: %s after %.1f s", name, self.age_s)

    def _open(self) -> str:
        """Open the runner and wait until it is ready. -> its model's name; Cancelled if closed."""
        opened = self._load()
        with self._lock:
            self._opened = opened
            closed = self._closed
        if closed:
            opened.runner.close()
            raise Cancelled("the server was closed")
        for callback in self._on_open:
            callback(opened)
        name = opened.runner.provenance.model  # waits for the weights
        self._ready = True
        return name
