"""The gate in front of every route: host, origin, key or session, and size; nothing is parsed."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mezzotint.images.png import MAX_FILE_BYTES
from mezzotint.server.errors import ApiError
from mezzotint.server.keys import ANYONE, Caller
from mezzotint.server.sessions import COOKIE, Sessions
from mezzotint.server.settings import MAX_BODY_BYTES, Settings

# Answers without a key. Signed links carry their own proof; signing in is how a page shows its key.
_PAGE = r"/|/assets/[A-Za-z0-9_.-]+|/favicon\.svg|/theme\.js|/licences\.txt"
OPEN = re.compile(
    rf"/health|/ready|/v1/images/[A-Za-z0-9_-]{{1,64}}/content|/api/v1/session|{_PAGE}"
)
BASIC = "/sdapi/v1/"  # A1111's clients know no other way; no browser is ever asked for it
_SAFE = frozenset({"GET", "HEAD"})  # change nothing

BODY_S = 30  # to send a body, whatever its size
UPLOADS = {"/api/v1/inspect": MAX_FILE_BYTES}  # all other bodies: MAX_BODY_BYTES
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

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions) -> None:
        self._app = app
        self._keys = settings.keys
        self._sessions = sessions
        self._hosts = frozenset(name.lower() for name in settings.allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            self._check_origin(headers)
            caller = scope["state"]["caller"] = self._caller(scope, headers)
            scope["state"]["allowed"] = partial(self._still, caller)  # for streams without an end
            _check_encoding(headers)
            limit = UPLOADS.get(route_path(scope), MAX_BODY_BYTES)
            receive = await _read_body(headers, receive, limit)
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

    def _caller(self, scope: Scope, headers: Headers) -> Caller | None:
        """Whose call it is; None: nobody's, at an address that is open. ApiError 401, 403."""
        if not self._keys.required:
            return ANYONE
        caller = (
            self._by_key(scope, headers) if "authorization" in headers else self._by_session(scope)
        )
        if caller is not None or OPEN.fullmatch(route_path(scope)):
            return caller
        raise ApiError(
            401,
            "give a valid API key as 'Authorization: Bearer KEY', or sign in",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _still(self, caller: Caller | None) -> bool:
        """Whether a caller that was let in would be let in now."""
        if caller is None or not self._keys.required:
            return True
        return caller is not ANYONE and self._keys.renew(caller) is not None

    def _by_key(self, scope: Scope, headers: Headers) -> Caller | None:
        scheme, _, key = headers["authorization"].partition(" ")
        if scheme.lower() == "bearer":
            return self._keys.find(key.strip())
        if scheme.lower() == "basic" and route_path(scope).startswith(BASIC):
            password = _password(key.strip())
            return None if password is None else self._keys.find(password)
        return None

    def _by_session(self, scope: Scope) -> Caller | None:
        """The cookie's caller. The browser adds it by itself: it must be our own page that asks."""
        token = HTTPConnection(scope).cookies.get(COOKIE)
        caller = None if token is None else self._sessions.find(token)
        if caller is None or _by_own_page(scope["method"], Headers(scope=scope)):
            return caller
        if scope["method"] in _SAFE and OPEN.fullmatch(route_path(scope)):
            return None  # as when a link leads here from another port of this machine
        raise ApiError(
            403,
            "with the cookie of a session only pages of this server may call; other programs give "
            "the key as 'Authorization: Bearer KEY'",
            code="origin_not_allowed",
        )


def need_admin(http: Request) -> None:
    """ApiError 403 for a caller who is no admin."""
    caller: Caller | None = http.state.caller
    if caller is None or caller.role != "admin":
        raise ApiError(403, "only an admin's key may do this", code="admin_only")


def route_path(scope: Scope) -> str:
    """The path as the router matches it: without the proxy's prefix."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :]
    return path


def _password(credentials: str) -> str | None:
    """The password of Basic credentials, which is the key; the user's name may be any."""
    try:
        return b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return None


def _by_own_page(method: str, headers: Headers) -> bool:
    """Whether a page of this very address asks: another port of this machine is another site.

    SameSite=Strict leaves other ports in, so the address must be equal to the letter. Browsers name
    the origin of every call that may change something.
    """
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origins = headers.getlist("origin")
    if not origins:
        return method in _SAFE
    return all(urlsplit(origin).netloc.lower() == headers["host"].lower() for origin in origins)


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


def _check_encoding(headers: Headers) -> None:
    """Refuse compressed bodies: what they grow to would have to be bounded too."""
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        message = "the body has a Content-Encoding; send it as it is, not compressed"
        raise ApiError(415, message, code="unsupported_media_type", headers=_CLOSE)


async def _read_body(headers: Headers, receive: Receive, limit: int) -> Receive:
    """Read a body of up to `limit` bytes. -> what gives it to the app, and then the connection."""
    length = headers.get("content-length", "0")
    if length.isdecimal() and len(length) < 20 and int(length) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_S):
            return _replay(await _gather(receive, limit), receive)
    except TimeoutError as error:
        message = f"the body did not come within {BODY_S} s; send it at once"
        raise ApiError(408, message, code="body_too_slow", headers=_CLOSE) from error


async def _gather(receive: Receive, limit: int) -> Message:
    """One message of all parts of a body; or the disconnect that came instead."""
    parts: list[bytes] = []
    more, num_bytes = True, 0
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return message
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        num_bytes += len(parts[-1])
        if num_bytes > limit:
            raise _too_large(limit)
    return {"type": "http.request", "body": b"".join(parts), "more_body": False}


def _replay(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _too_large(limit: int) -> ApiError:
    message = f"the body has more than {limit} bytes; send less"
    return ApiError(413, message, code="body_too_large", headers=_CLOSE)
