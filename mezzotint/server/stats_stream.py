"""The stream of the stats."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import format_sse_event

from mezzotint.server.events import PING, PING_S, EventStream, while_allowed
from mezzotint.server.watcher import Watcher

_ID = r"^[0-9a-f]{8}\.[0-9]{1,15}$"


def add_stream(router: APIRouter, watcher: Watcher) -> None:
    """Add the route that follows what a watcher sees.

    To the router of all stats: a route of a router inside it is told without their prefix.
    """

    @router.get(
        "/stream",
        summary="Follow the stats",
        description="Server-sent events, at most four a second and 64 KiB/s. `frame` holds a Frame "
        "and has an id. `reset` means that what followed the given id is not kept: read the "
        "history again. A comment every 15 s while nothing happens.",
        status_code=200,
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        },
    )
    async def follow(
        http: Request,
        after: Annotated[
            str | None, Query(pattern=_ID, description="The id of the last frame known.")
        ] = None,
        last_event_id: Annotated[
            str | None,
            Header(pattern=_ID, description="The same, as browsers send it when they reconnect."),
        ] = None,
    ) -> EventStream:
        frames = _follow(watcher, last_event_id or after)
        return EventStream(while_allowed(frames, http.state.allowed))


async def _follow(watcher: Watcher, after: str | None) -> AsyncGenerator[bytes, None]:
    number = watcher.read(lambda _, count: count)
    if after is not None:
        boot, _, last = after.partition(".")
        number = int(last) if boot == watcher.boot else -1
    async for entry in watcher.listen(number, PING_S):
        if entry is None:
            yield PING
        else:
            yield format_sse_event(
                event="frame", data_str=entry[1].decode(), id=f"{watcher.boot}.{entry[0]}"
            )
    if not watcher.ended:
        yield format_sse_event(event="reset", data_str="{}")
