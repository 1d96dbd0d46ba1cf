"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

PING = KEEPALIVE_COMMENT
PING_S = 15.0  # proxies close connections that are silent for 30 s or more


def event(name: str, data: Mapping[str, Any] | bytes, id: int | None = None) -> bytes:
    """One event with a JSON document (or its text), and the id to resume after."""
    text = data if isinstance(data, bytes) else orjson.dumps(data)
    number = None if id is None else str(id)
    return format_sse_event(event=name, data_str=text.decode(), id=number)


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
