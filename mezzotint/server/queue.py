"""The one bounded line of the server: pictures of calls that wait for them, and those of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest

from mezzotint.jobs.dispatch import WAIT_TARGET_S, Dispatcher, Supply
from mezzotint.jobs.room import share_of
from mezzotint.jobs.ticket import Origin, Terms
from mezzotint.server.errors import ApiError, invalid, not_ready
from mezzotint.server.feed import Feed
from mezzotint.server.keys import Caller
from mezzotint.server.source import Served
from mezzotint.types import Image, Request


class Queue:
    """Lets pictures in up to a bound once there is a runner for them."""

    def __init__(
        self,
        bound: Callable[[], int],
        wait_target_s: Callable[[], float] = lambda: WAIT_TARGET_S,
    ) -> None:
        self._bound = bound
        self._wait_target_s = wait_target_s
        self._line: Dispatcher | None = None

    @property
    def pending(self) -> int:
        """Pictures accepted and not finished."""
        return 0 if self._line is None else self._line.pending

    @property
    def waiting(self) -> int:
        """Pictures that were not given to the runner yet."""
        return 0 if self._line is None else self._line.num_waiting

    @property
    def dropped(self) -> int:
        """Pictures that ended before they were given to the runner."""
        return 0 if self._line is None else self._line.num_dropped

    def origin(self, request: int) -> Origin | None:
        """Where the runner's request with this number came from, if it is one of the last."""
        return None if self._line is None else self._line.origin(request)

    @property
    def line(self) -> Dispatcher:
        """Where pictures wait; ApiError 503 in the first moments of the server."""
        if self._line is None:
            raise not_ready("loading")
        return self._line

    def open(
        self, served: Served, is_ready: Callable[[], bool], on_picture: Callable[[Image], None]
    ) -> None:
        """Serve the line by a runner; `on_picture` hears of all that it makes."""
        supply = Supply(
            runner=served.runner,
            count_tokens=served.count_tokens,
            capacity=served.capacity,
            is_ready=is_ready,
            on_picture=on_picture,
        )
        self._line = Dispatcher(supply, self._bound, self._wait_target_s)

    async def submit(self, requests: Sequence[Request], terms: Terms) -> Feed:
        """Let all requests in, or none: RequestError, QueueFullError."""
        self.check(len(requests), terms.key_id)
        self.line.need_room(terms.key_id, len(requests))  # refused here, it costs no thread's turn
        feed = Feed()

        def enter() -> None:
            places = self.line.admit(requests, terms)
            feed.watch(places)  # before the first of them can start
            self.line.enter(places)

        try:
            await run_in_threadpool(enter)  # tokenizing a long prompt takes milliseconds
        except BaseException:
            feed.cancel()
            raise
        return feed

    def check(self, n: int, key_id: str) -> None:
        """ApiError 400 for more pictures at once than there will ever be room for."""
        most = share_of(key_id, self._bound())  # an admin may change it
        if n > most:
            raise invalid(f"n {n} is more than this server's queue has room for, {most}", "n")

    def close(self) -> None:
        """Start no more pictures; those that are not over are cancelled."""
        if self._line is not None:
            self._line.close()


def terms_of(http: HttpRequest, priority: int, deadline_s: float | None = None) -> Terms:
    """Whose pictures a call asks for; ApiError 403 for a priority that is not a user's to take."""
    caller: Caller = http.state.caller
    if priority > 0 and caller.role != "admin":
        raise ApiError(
            403,
            f"priority {priority} is for admins; give 0 or less",
            code="priority_not_allowed",
            param="priority",
        )
    return Terms(key_id=caller.key_id, priority=priority, deadline_s=deadline_s)
