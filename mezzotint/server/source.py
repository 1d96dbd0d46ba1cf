"""Where a server's runner comes from: loaded in the background while HTTP already answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mezzotint.engine.runner import Runner
from mezzotint.server.errors import not_ready

LoadState = Literal["loading", "ready", "failed"]
CountTokens = Callable[[str], int]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A runner, how its model counts a prompt's tokens (template included), who made its files."""

    runner: Runner
    count_tokens: CountTokens
    producer: str = "mezzotint"  # named in AI-content marks


class RunnerSource:
    """Loads a runner once, in a thread of its own, and closes it in the end."""

    def __init__(
        self, load: Callable[[], Served], on_failure: Callable[[], None] | None = None
    ) -> None:
        self._load = load
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._served: Served | None = None
        self._closed = False
        self._started = time.monotonic()
        # A daemon: a load takes minutes and cannot be interrupted, an end of the server must not
        # wait for it.
        self._thread = threading.Thread(target=self._run, name="mezzotint-load", daemon=True)
        self.error: BaseException | None = None

    @property
    def state(self) -> LoadState:
        """Where loading stands."""
        if self.error is not None:
            return "failed"
        return "loading" if self._served is None else "ready"

    @property
    def loading(self) -> bool:
        """Whether the thread that loads is still at it, also after `close`."""
        return self._thread.is_alive()

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def get(self) -> Served:
        """The runner; ApiError 503 until it is ready."""
        served = self._served
        if served is None:
            raise not_ready(self.state)
        return served

    def peek(self) -> Served | None:
        """The runner if it is ready."""
        return self._served

    def start(self) -> None:
        """Begin to load."""
        self._started = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        """Close the runner, now or as soon as it is loaded."""
        with self._lock:
            self._closed = True
            served, self._served = self._served, None
        if served is not None:
            served.runner.close()

    def _run(self) -> None:
        try:
            served = self._load()
        except BaseException as error:  # whatever it is, /ready and the command must tell
            self.error = error
            _log.error("loading failed: %s", error)
            if self._on_failure is not None:
                self._on_failure()
            return
        with self._lock:
            if not self._closed:
                self._served = served
        if self._closed:
            served.runner.close()
            return
        _log.info("ready: %s after %.1f s", served.runner.spec.name, self.age_s)
