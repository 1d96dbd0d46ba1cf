"""Asks for a frame four times a second, keeps ten minutes, wakes whoever listens."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Protocol, TypeVar

from mezzotint.server.chronicle import Chronicle
from mezzotint.server.frame import Frame, encode_frame

PERIOD_S = 0.25
_KEPT = 64  # frames a listener may be behind, 16 s
_log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Feed(Protocol):
    """Where frames come from."""

    @property
    def recorded(self) -> str | None:
        """What was recorded, in words; None when it happens now."""
        ...

    def clock_s(self) -> float:
        """Seconds since the stream's zero."""
        ...

    def next(self) -> Frame | None:
        """What is new since the last call, if anything."""
        ...


class Watcher:
    """A thread around a feed. `boot` and a frame's number name it for good."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.boot = token_hex(4)
        self._chronicle = Chronicle()
        self._frames: deque[bytes] = deque(maxlen=_KEPT)
        self._count = 0
        self._lock = threading.Lock()
        self._listeners: set[Callable[[], None]] = set()
        self.ended = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mezzotint-stats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """End all streams: the server is about to."""
        self.ended = True
        with self._lock:
            listeners = list(self._listeners)
        for wake in listeners:
            wake()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def read(self, look: Callable[[Chronicle, int], Result]) -> Result:
        """Look at the chronicle and the number of frames in it, while neither changes."""
        with self._lock:
            return look(self._chronicle, self._count)

    def tick(self) -> None:
        """Take the next frame, if there is one."""
        frame = self.feed.next()
        if frame is None:
            return
        data = encode_frame(frame)
        with self._lock:
            self._chronicle.add(frame)
            self._frames.append(data)
            self._count += 1
            listeners = list(self._listeners)
        for wake in listeners:
            wake()

    async def listen(self, after: int, idle_s: float) -> AsyncIterator[tuple[int, bytes] | None]:
        """Yield frames past number `after` as they come, and None after `idle_s` without any.

        Ends when the next one is not kept any more: the listener must look at the history again;
        and when all streams are ended.
        """
        with self._woken() as event:
            while not self.ended:
                event.clear()
                new = self._since(after)
                if new is None:
                    return
                for data in new:
                    after += 1
                    yield after, data
                if not new:
                    try:
                        async with asyncio.timeout(idle_s):
                            await event.wait()
                    except TimeoutError:
                        yield None

    def _since(self, after: int) -> list[bytes] | None:
        with self._lock:
            behind = self._count - after
            if not 0 <= behind <= len(self._frames):
                return None
            return list(self._frames)[len(self._frames) - behind :]

    @contextmanager
    def _woken(self) -> Iterator[asyncio.Event]:
        event, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)

        with self._lock:
            self._listeners.add(wake)
        try:
            yield event
        finally:
            with self._lock:
                self._listeners.discard(wake)

    def _work(self) -> None:
        while not self._stop.wait(PERIOD_S):
            try:
                self.tick()
            except Exception:  # pictures matter more than watching them: say so and go on
                _log.exception("the stats could not be read")
                self._stop.wait(10.0)
