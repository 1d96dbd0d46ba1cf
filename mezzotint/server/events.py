"""Server-sent events, as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

PING = KEEPALIVE_COMMENT
PING_S = 15.0  # proxies close connections that are silent for 30 s or more


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """One event with a JSON document."""
    return format_sse_event(event=name, data_str=orjson.dumps(data).decode())


def stream(events: AsyncIterator[bytes]) -> EventSourceResponse:
    """An answer that no proxy holds back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(events, headers=headers)
