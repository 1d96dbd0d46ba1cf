"""Who is signed in on the web page: a cookie that stands for a key, and holds none of it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from mezzotint.server.keys import Caller, Keyring

COOKIE = "mezzotint_session"
SESSION_S = 7 * 24 * 3600
MAX_SESSIONS = 50  # of one key; the oldest goes first, so that nobody signs another key's pages out

_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Session:
    caller: Caller
    expires: float  # seconds, of the clock


class Sessions:
    """Remembers by hash which cookies were given out; a restart of the server forgets them."""

    def __init__(self, keys: Keyring, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[bytes, _Session] = {}  # oldest first

    @property
    def keys_required(self) -> bool:
        """Whether calls need a key or a session at all."""
        return self._keys.required

    def start(self, key: str) -> str | None:
        """Sign the holder of a key in. -> the cookie's value; None when the key is nobody's."""
        caller = self._keys.find(key)
        if caller is None:
            return None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._lock:
            self._make_room(caller)
            self._open[_digest(token)] = _Session(caller, self._clock() + SESSION_S)
        return token

    def find(self, token: str) -> Caller | None:
        """Whose cookie it is; None when it is too old, or its key was revoked meanwhile."""
        session = self._open.get(_digest(token))
        if session is None or session.expires <= self._clock():
            return None
        return self._keys.renew(session.caller)

    def end(self, token: str) -> None:
        """Sign out; a cookie that is none is nothing to end."""
        with self._lock:
            self._open.pop(_digest(token), None)

    def _make_room(self, caller: Caller) -> None:
        now = self._clock()
        for digest in [d for d, session in self._open.items() if session.expires <= now]:
            del self._open[digest]
        same = [d for d, s in self._open.items() if s.caller.key_id == caller.key_id]
        for digest in same[: max(len(same) - MAX_SESSIONS + 1, 0)]:
            del self._open[digest]


def _digest(token: str) -> bytes:
    # Found by hash: how long the look-up takes says nothing of a token.
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
