"""The calls of A1111's clients that are being answered: looked at and interrupted by their key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request as HttpRequest

from mezzotint.server.errors import Disconnected, explain
from mezzotint.server.feed import Done, Feed, Look
from mezzotint.types import Cancelled, Image


@dataclass(slots=True, eq=False)
class Run:
    """One txt2img call; used from the event loop only."""

    key_id: str
    feed: Feed
    n: int  # pictures
    started_s: float  # monotonic
    timestamp: str = field(default_factory=lambda: time.strftime("%Y%m%d%H%M%S"))
    look: Look | None = None  # the newest
    finished: int = 0
    interrupted: bool = False

    async def collect(self, http: HttpRequest) -> list[Image]:
        """All pictures by their seeds; after an interruption those that were finished."""
        images: dict[int, Image] = {}
        try:
            async with aclosing(self.feed.read(http)) as news:
                async for item in news:
                    if isinstance(item, Look):
                        self.look = item
                    elif isinstance(item, Done):
                        images[item.index] = item.image
                        self.finished += 1
        except Disconnected:
            raise
        except Exception as error:
            if not (self.interrupted and isinstance(error, Cancelled)):
                raise explain(error, http.state.request_id) from error
        return [images[index] for index in sorted(images)]

    def interrupt(self) -> None:
        """End it; it answers within two steps."""
        self.interrupted = True
        self.feed.cancel()


class Runs:
    """Every call that is not answered yet, the oldest first."""

    def __init__(self) -> None:
        self._open: list[Run] = []

    @contextmanager
    def holding(self, run: Run) -> Iterator[None]:
        """Know of a call while it is answered."""
        self._open.append(run)
        try:
            yield
        finally:
            self._open.remove(run)

    def newest(self, key_id: str) -> Run | None:
        """A key's newest call."""
        return next((run for run in reversed(self._open) if run.key_id == key_id), None)

    def interrupt(self, key_id: str) -> None:
        """End all calls of a key."""
        for run in self._open:
            if run.key_id == key_id:
                run.interrupt()
