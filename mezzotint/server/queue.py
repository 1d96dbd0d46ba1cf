"""The bounded queue in front of a runner, and a request's pictures as they are finished."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest

from mezzotint.engine.runner import Runner, Ticket
from mezzotint.engine.stats import stage_totals
from mezzotint.server.errors import ApiError, Disconnected, invalid
from mezzotint.types import Image, Request

_MAX_RETRY_S = 600
_WEIGHT = 0.1  # of the newest picture in the running mean


class Queue:
    """Lets pictures in up to a bound; says how long to wait when there is no room."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._lock = threading.Lock()  # pictures finish in the runner's threads
        self._pending = 0
        self._mean_s: float | None = None

    @property
    def pending(self) -> int:
        """Pictures accepted and not finished."""
        return self._pending

    async def submit(self, runner: Runner, requests: Sequence[Request]) -> Sequence[Ticket]:
        """Hand all requests to the runner, or none: ApiError 429, RequestError."""
        self._reserve(len(requests))
        try:
            # In a thread: tokenizing a long prompt takes milliseconds.
            tickets = await run_in_threadpool(runner.submit_all, requests)
        except BaseException:
            self._release(len(requests))
            raise
        for ticket in tickets:
            ticket.future.add_done_callback(self._finished)
        return tickets

    def _reserve(self, num: int) -> None:
        if num > self._bound:
            raise invalid(f"n {num} is more than this server's queue, {self._bound}", "n")
        with self._lock:
            excess = self._pending + num - self._bound
            if excess <= 0:
                self._pending += num
                return
        wait_s = self._wait_s(excess)
        raise ApiError(
            429,
            f"{self._pending} pictures are in the queue and {self._bound} is its limit; try again "
            f"in {wait_s} s",
            code="queue_full",
            kind="rate_limit_error",
            headers={"Retry-After": str(wait_s)},
        )

    def _wait_s(self, excess: int) -> int:
        """Seconds until `excess` pictures were finished, one after the other."""
        return min(max(math.ceil((self._mean_s or 0.0) * excess), 1), _MAX_RETRY_S)

    def _release(self, num: int) -> None:
        with self._lock:
            self._pending -= num

    def _finished(self, future: Future[Image]) -> None:
        self._release(1)
        if future.cancelled() or future.exception() is not None:
            return
        totals = stage_totals(future.result().spans)
        seconds = (sum(totals.values()) - totals.get("queue", 0.0)) / 1e3
        with self._lock:
            mean = seconds if self._mean_s is None else self._mean_s
            self._mean_s = mean + _WEIGHT * (seconds - mean)


async def finished(
    tickets: Sequence[Ticket], http: HttpRequest, idle_s: float | None = None
) -> AsyncGenerator[tuple[int, Image] | None, None]:
    """Yield (index, picture) as they are finished, and None after each `idle_s` without any.

    Raises Disconnected when the client goes away, and whatever ended a picture. However it ends,
    what is not finished by then is cancelled.
    """
    loop = asyncio.get_running_loop()
    ends: asyncio.Queue[int | None] = asyncio.Queue()

    def tell(index: int, _: Future[Image]) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(ends.put_nowait, index)

    # Not asyncio.wrap_future: cancelling its wrapper would cancel the runner's own future.
    for index, ticket in enumerate(tickets):
        ticket.future.add_done_callback(partial(tell, index))
    gone = asyncio.create_task(_disconnect(http))
    gone.add_done_callback(lambda _: ends.put_nowait(None))
    try:
        left = len(tickets)
        while left:
            try:
                async with asyncio.timeout(idle_s):
                    end = await ends.get()
            except TimeoutError:
                yield None
                continue
            if end is None:
                raise Disconnected
            left -= 1
            yield end, tickets[end].future.result()
    finally:
        gone.cancel()
        cancel(tickets)


def cancel(tickets: Sequence[Ticket]) -> None:
    """Cancel what is not finished of them."""
    for ticket in tickets:
        ticket.cancel()


async def _disconnect(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
