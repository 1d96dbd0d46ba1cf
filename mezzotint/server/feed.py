"""A request's pictures as they come: looks at the unfinished ones, then the finished ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from starlette.requests import Request as HttpRequest

from mezzotint.engine.runner import Ticket
from mezzotint.server.errors import Disconnected
from mezzotint.types import Image, Progress, Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A picture that is not finished yet."""

    recipe: Recipe
    number: int  # of the looks at this picture, from 0
    pixels: np.ndarray  # [h, w, 3] uint8, smaller than the picture


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """A finished picture."""

    index: int  # of its request's pictures, from 0
    image: Image


class Feed:
    """Filled by the runner's threads, read by the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[Look | int | None] = asyncio.Queue()
        self._tickets: Sequence[Ticket] = ()
        self._steps: dict[int, int] = {}

    @property
    def steps(self) -> tuple[int, int]:
        """(done, all) denoise steps of all pictures together."""
        return sum(self._steps.values()), sum(ticket.recipe.steps for ticket in self._tickets)

    def watch(self, tickets: Sequence[Ticket]) -> None:
        """Hear of these from now on; from any thread, and once."""
        self._tickets = tickets
        # Not asyncio.wrap_future: cancelling its wrapper would cancel the runner's own future.
        for index, ticket in enumerate(tickets):
            ticket.on_progress(_Looks(self, ticket))
            ticket.on_progress(partial(self._on_step, index))
            ticket.future.add_done_callback(partial(self._on_end, index))

    def put(self, item: Look | int) -> None:
        """Pass on from any thread what became of a picture."""
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, item)

    async def read(
        self, http: HttpRequest, idle_s: float | None = None
    ) -> AsyncGenerator[Look | Done | None, None]:
        """Yield what comes until all are finished, and None after each `idle_s` without anything.

        Raises Disconnected when the client goes away, and whatever ended a picture. However it
        ends, what is not finished by then is cancelled.
        """
        gone = asyncio.create_task(_disconnect(http))
        gone.add_done_callback(lambda _: self._inbox.put_nowait(None))
        try:
            tickets = self._tickets
            left = len(tickets)
            while left:
                try:
                    async with asyncio.timeout(idle_s):
                        item = await self._inbox.get()
                except TimeoutError:
                    yield None
                    continue
                if item is None:
                    raise Disconnected
                if isinstance(item, Look):
                    yield item
                    continue
                left -= 1
                yield Done(item, tickets[item].future.result())
        finally:
            gone.cancel()
            self.cancel()
            self._tickets = ()  # whose callbacks hold this: a picture must not wait for gc

    def cancel(self) -> None:
        """Cancel what is not finished."""
        for ticket in self._tickets:
            ticket.cancel()

    def _on_step(self, index: int, progress: Progress) -> None:
        if progress.stage == "denoise":
            self._steps[index] = progress.step

    def _on_end(self, index: int, _: Future[Image]) -> None:
        self.put(index)


class _Looks:
    """Numbers the looks at one picture; a picture that is made again shows none of them twice."""

    def __init__(self, feed: Feed, ticket: Ticket) -> None:
        self._feed = feed
        self._ticket = ticket  # its steps may be chosen only when it begins
        self._number = 0
        self._step = 0

    def __call__(self, progress: Progress) -> None:
        if progress.preview is None or progress.step <= self._step:
            return
        self._step = progress.step
        self._feed.put(Look(self._ticket.recipe, self._number, progress.preview))
        self._number += 1


async def _disconnect(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
