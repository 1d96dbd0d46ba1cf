"""The outermost layer: every request gets an id, safe headers, a count, a log line, an answer."""

from __future__ import annotations

import logging
import time
from secrets import token_hex
from typing import Literal

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mezzotint.server.errors import internal_error
from mezzotint.server.metrics import Metrics
from mezzotint.server.security import HEADERS

Outcome = Literal["completed", "invalid", "refused", "cancelled", "unavailable", "failed"]
_log = logging.getLogger(__name__)


class Edge:
    """Wraps the gate and the app."""

    def __init__(self, app: ASGIApp, metrics: Metrics, root_path: str) -> None:
        self._app = app
        self._metrics = metrics
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.monotonic()
        request_id = token_hex(8)
        status = 0
        head = scope["method"] == "HEAD"
        if head:  # answered as a GET, without the body; the HTTP server keeps its own scope
            scope = dict(scope) | {"method": "GET"}
        # Here and not in the HTTP server, which would expect every proxy to cut the prefix off.
        scope["root_path"] = self._root_path
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_on(message: Message) -> None:
            nonlocal status
            if head and message["type"] == "http.response.body":
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)
            if head:  # all there is: of a stream, which would not end, too
                await send({"type": "http.response.body"})

        try:
            await self._app(scope, receive, send_on)
        except Exception:
            _log.exception("a defect in %s", _route(scope), extra={"id": request_id})
            if status == 0:
                await internal_error().response()(scope, receive, send_on)
            else:  # half an answer is out: the server must cut the connection
                raise
        finally:
            self._record(scope, head, status, time.monotonic() - start)

    def _record(self, scope: Scope, head: bool, status: int, seconds: float) -> None:
        route = _route(scope)
        outcome = scope["state"].get("outcome") or outcome_of(status)
        self._metrics.request(route, outcome, seconds)
        caller = scope["state"].get("caller")
        _log.info(
            "request",
            extra={
                "id": scope["state"]["request_id"],
                "method": "HEAD" if head else scope["method"],
                "route": route,
                "status": status,
                "outcome": outcome,
                "ms": round(seconds * 1e3, 1),
                "caller": caller.name if caller else None,
            },
        )


def outcome_of(status: int) -> Outcome:
    """How a request ended, from its status."""
    if 200 <= status < 400:
        return "completed"
    known: dict[int, Outcome] = {
        0: "cancelled",
        429: "refused",
        499: "cancelled",
        503: "unavailable",
    }
    return known.get(status, "invalid" if status < 500 else "failed")


def _route(scope: Scope) -> str:
    """The route's template: a path of a client's own could hold anything, and any number of."""
    return str(getattr(scope.get("route"), "path", "other"))
