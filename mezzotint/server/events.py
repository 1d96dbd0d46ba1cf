"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

PING = KEEPALIVE_COMMENT
ALLOWED_S = 15.0  # between two looks whether the caller may still listen
PING_S = 15.0  # proxies close connections that are silent for 30 s or more


def event(name: str, data: Mapping[str, Any] | bytes, id: int | None = None) -> bytes:
    """One event with a JSON document (or its text), and the id to resume after."""
    text = data if isinstance(data, bytes) else orjson.dumps(data)
    number = None if id is None else str(id)
    return format_sse_event(event=name, data_str=text.decode(), id=number)


async def while_allowed(
    events: AsyncGenerator[bytes, None], allowed: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Pass events on until the caller is not allowed any more: keys are revoked, sessions end."""
    checked = time.monotonic()
    async with aclosing(events):
        async for each in events:
            if time.monotonic() - checked >= ALLOWED_S:
                if not await run_in_threadpool(allowed):
                    return
                checked = time.monotonic()
            yield each


class EventStream(EventSourceResponse):
    """An answer that no proxy holds back; `on_close` is called however it ends.

    A client may be gone before the first event is asked for: then `events` never even starts, and
    could clean nothing up itself.
    """

    def __init__(
        self, events: AsyncIterator[bytes], on_close: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(events, headers={"X-Accel-Buffering": "no"})
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_close()
