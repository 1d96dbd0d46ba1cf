"""The gate in front of every route: host, origin, key and size, before anything is parsed."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mezzotint.server.errors import ApiError
from mezzotint.server.keys import ANYONE, Caller
from mezzotint.server.settings import MAX_BODY_BYTES, Settings

# Answers without a key. Signed links carry their own proof.
OPEN = re.compile(r"/health|/ready|/v1/images/[A-Za-z0-9_-]{1,64}/content")

BODY_S = 30  # to send a body of at most 1 MiB
_CLOSE = {"Connection": "close"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets a request through to the app, or answers it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = settings.keys
        self._hosts = frozenset(name.lower() for name in settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(headers)
            scope["state"]["caller"] = self._caller(route_path(scope), headers)
            receive = await _read_body(headers, receive)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """Refuse names we do not know: a page that rebinds its own name to us uses that name."""
        hosts = headers.getlist("host")
        name = _host_name(f"//{hosts[0]}") if len(hosts) == 1 else None
        if name is None or not self._knows(name):
            raise ApiError(
                403,
                "this Host is not served here; start the server with --allowed-host NAME to allow "
                "a name (IP addresses and localhost always are)",
                code="host_not_allowed",
            )

    def _knows(self, name: str) -> bool:
        return name == "localhost" or name in self._hosts or _is_address(name)

    def _check_origin(self, headers: Headers) -> None:
        """Refuse calls by pages of other sites. Clients that are no browsers send no Origin."""
        for origin in headers.getlist("origin"):
            netloc = urlsplit(origin).netloc.lower() if _host_name(origin) else None
            same = netloc == headers["host"].lower()
            if netloc is None or not (same or _host_name(origin) in self._hosts):
                raise ApiError(
                    403,
                    "pages of other sites may not call this server; --allowed-host allows a name",
                    code="origin_not_allowed",
                )

    def _caller(self, path: str, headers: Headers) -> Caller:
        if not self._keys.required:
            return ANYONE
        scheme, _, key = headers.get("authorization", "").partition(" ")
        caller = self._keys.find(key.strip()) if scheme.lower() == "bearer" else None
        if caller is not None:
            return caller
        if OPEN.fullmatch(path):
            return Caller("nobody", "user")
        raise ApiError(
            401,
            "give a valid API key as 'Authorization: Bearer KEY'",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def route_path(scope: Scope) -> str:
    """The path as the router matches it: without the proxy's prefix."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :]
    return path


def _host_name(address: str) -> str | None:
    try:
        name = urlsplit(address).hostname
    except ValueError:  # as in "//[": no address at all
        return None
    return name.lower().removesuffix(".") if name else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


async def _read_body(headers: Headers, receive: Receive) -> Receive:
    """Read a body of up to MAX_BODY_BYTES. -> what gives it to the app, and then the connection."""
    length = headers.get("content-length", "0")
    if length.isdecimal() and len(length) < 20 and int(length) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_S):
            return _replay(await _gather(receive), receive)
    except TimeoutError as error:
        message = f"the body did not come within {BODY_S} s; send it at once"
        raise ApiError(408, message, code="body_too_slow", headers=_CLOSE) from error


async def _gather(receive: Receive) -> Message:
    """One message of all parts of a body; or the disconnect that came instead."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return message
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        if sum(map(len, parts)) > MAX_BODY_BYTES:
            raise _too_large()
    return {"type": "http.request", "body": b"".join(parts), "more_body": False}


def _replay(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _too_large() -> ApiError:
    message = f"the body has more than {MAX_BODY_BYTES} bytes; send less"
    return ApiError(413, message, code="body_too_large", headers=_CLOSE)
