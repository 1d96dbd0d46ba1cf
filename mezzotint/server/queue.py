"""The bounded queue in front of a runner."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from fastapi.concurrency import run_in_threadpool

from mezzotint.engine.stats import stage_totals
from mezzotint.server.errors import ApiError, invalid
from mezzotint.server.feed import Feed
from mezzotint.server.source import Served
from mezzotint.types import Image, Request

_MAX_RETRY_S = 600
_WEIGHT = 0.1  # of the newest picture in the running mean


class Queue:
    """Lets pictures in up to a bound; says how long to wait when there is no room."""

    def __init__(self, bound: Callable[[], int]) -> None:
        self._bound = bound
        self._lock = threading.Lock()  # pictures finish in the runner's threads
        self._pending = 0
        self._mean_s: float | None = None

    @property
    def pending(self) -> int:
        """Pictures accepted and not finished."""
        return self._pending

    async def submit(self, served: Served, requests: Sequence[Request]) -> Feed:
        """Hand all requests to the runner, or none: ApiError 429, RequestError."""
        self._reserve(len(requests))
        feed = Feed()
        try:
            # In a thread: tokenizing a long prompt takes milliseconds.
            await run_in_threadpool(self._submit, served, requests, feed)
        except BaseException:
            self._release(len(requests))
            raise
        return feed

    def _submit(self, served: Served, requests: Sequence[Request], feed: Feed) -> None:
        # Counted here already: a worker would find a prompt too long when the answer has begun.
        for prompt in {text for r in requests for text in (r.prompt, r.negative_prompt)}:
            served.count_tokens(prompt)
        # Watched at once, in the same thread: the first look comes after the first step.
        tickets = served.runner.submit_all(requests)
        feed.watch(tickets)
        for ticket in tickets:
            ticket.future.add_done_callback(self._finished)

    def _reserve(self, num: int) -> None:
        bound = self._bound()  # an admin may change it
        if num > bound:
            raise invalid(f"n {num} is more than this server's queue, {bound}", "n")
        with self._lock:
            excess = self._pending + num - bound
            if excess <= 0:
                self._pending += num
                return
        wait_s = self._wait_s(excess)
        raise ApiError(
            429,
            f"{self._pending} pictures are in the queue and {bound} is its limit; try again "
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
