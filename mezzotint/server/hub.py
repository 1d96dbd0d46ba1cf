"""What happened to jobs, for those who listen: a ring of the newest events, read by id."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mezzotint.server.events import PING, PING_S, event


@dataclass(frozen=True, slots=True)
class Told:
    """An event."""

    id: int  # rises; microseconds since 1970 or a little more, so that it also tells when
    name: str
    data: bytes  # JSON
    key_id: str | None  # whose it is; None: everybody's
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events a listener hears."""

    key_id: str | None  # None: everybody's
    job_id: str | None = None  # None: all jobs

    def holds(self, told: Told) -> bool:
        """Whether an event is one of these."""
        theirs = self.key_id is None or told.key_id in (None, self.key_id)
        return theirs and (self.job_id is None or told.job_id == self.job_id)


class Hub:
    """Told of events from any thread; read by the event loop.

    Listeners keep an id and ask for what came after it. Nothing is held for any of them, so that
    one who is slow, or away, costs nothing; who is away too long is told so.
    """

    def __init__(
        self,
        max_events: int = 4096,
        max_bytes: int = 16 * 2**20,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._now_us = now_us
        self._lock = threading.Lock()
        self._ring: deque[Told] = deque()
        self._num_bytes = 0
        self._bells: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._floor = self._last = now_us()  # what came before is not known here
        self.closed = False

    @property
    def last(self) -> int:
        """The newest event's id."""
        return self._last

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._bells)

    def tell(
        self, name: str, data: bytes, *, key_id: str | None = None, job_id: str | None = None
    ) -> None:
        """Tell everybody whom it concerns."""
        with self._lock:
            self._last = max(self._last + 1, self._now_us())
            self._ring.append(Told(self._last, name, data, key_id, job_id))
            self._num_bytes += len(data)
            while len(self._ring) > self._max_events or self._num_bytes > self._max_bytes:
                oldest = self._ring.popleft()
                self._floor = oldest.id
                self._num_bytes -= len(oldest.data)
        self._ring_bells()

    def after(self, id: int, scope: Scope) -> tuple[list[Told], int] | None:
        """Events after an id, and the id to ask with next; None: some of them are lost."""
        with self._lock:
            if not self._floor <= id <= self._last:
                return None
            found: list[Told] = []
            for told in reversed(self._ring):
                if told.id <= id:
                    break
                if scope.holds(told):
                    found.append(told)
            return found[::-1], self._last

    def close(self) -> None:
        """End all streams; to be resumed at the next server."""
        self.closed = True
        self._ring_bells()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set whenever there is something new."""
        bell = asyncio.Event()
        with self._lock:
            self._bells[bell] = asyncio.get_running_loop()
        try:
            yield bell
        finally:
            with self._lock:
                del self._bells[bell]

    def _ring_bells(self) -> None:
        with self._lock:
            bells = [*self._bells.items()]
        for bell, loop in bells:
            with suppress(RuntimeError):  # the loop was closed: nobody listens there any more
                loop.call_soon_threadsafe(bell.set)


TakeSnapshot = Callable[[int | None], Awaitable[tuple[bytes, bool]]]


async def stream(
    hub: Hub, scope: Scope, since: int | None, snapshot: TakeSnapshot
) -> AsyncGenerator[bytes, None]:
    """Server-sent events after the id `since`, until the hub is closed or the scope's job is over.

    `snapshot(since)` says how things stand now, and whether that is the end of it. It comes first
    when there is no `since`, and whenever events were lost, so that nothing is missed for good.
    """
    with hub.listening() as bell:
        id = since
        while not hub.closed:
            bell.clear()
            found = None if id is None else hub.after(id, scope)
            if found is None:
                last = hub.last  # read before: what comes meanwhile is told again
                # No event was told in the future: an id from there says nothing of a time.
                data, over = await snapshot(None if id is None else min(id, last))
                id = last
                yield event("snapshot", data, id)
                if over:
                    return
                continue
            told, id = found
            for each in told:
                yield event(each.name, each.data, each.id)
                if scope.job_id is not None and each.name in ("done", "failed", "cancelled"):
                    return
            try:
                async with asyncio.timeout(PING_S):
                    await bell.wait()
            except TimeoutError:
                yield PING
