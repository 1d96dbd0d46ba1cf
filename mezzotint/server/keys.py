"""Who may call: bearer keys, compared in constant time."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Protocol

from mezzotint.jobs.database import Database
from mezzotint.jobs.keys import any_key, live, note_use, verify
from mezzotint.jobs.store import LOCAL
from mezzotint.types import ConfigError

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key; `name` may be logged, the key never."""

    name: str
    role: Role
    key_id: str = LOCAL  # whose jobs and pictures are this caller's


ANYONE = Caller("anyone", "admin")  # of a server without keys, which only this machine reaches


class Keyring(Protocol):
    """Knows the keys of a server."""

    @property
    def required(self) -> bool:
        """Whether a call needs a key."""
        ...

    def find(self, key: str) -> Caller | None:
        """Whose key it is; None when it is nobody's."""
        ...

    def renew(self, caller: Caller) -> Caller | None:
        """The caller, if the key that made it known is still good."""
        ...


class NoKeys:
    """The keyring of a server that is open to its own machine."""

    required = False

    def find(self, key: str) -> Caller | None:
        return ANYONE

    def renew(self, caller: Caller) -> Caller | None:
        return ANYONE


class FixedKeys:
    """Keys given at the start: hashed at once, so that no dump of this object shows one."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(_checked(key)) for key in keys)

    @property
    def required(self) -> bool:
        """Whether any was given."""
        return bool(self._digests)

    def find(self, key: str) -> Caller | None:
        """Whose key it is. Every key is compared to its end, whatever the answer."""
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return Caller("operator", "admin") if any(matches) else None

    def renew(self, caller: Caller) -> Caller | None:
        """The caller: these keys are good as long as the server runs."""
        return caller if caller.key_id == LOCAL else None


class StoredKeys:
    """The keys that `mezzotint keys` made, read anew at each call, beside those given at the start.

    A key that is added or revoked meanwhile counts from the next call on; the first one closes a
    server that was open till then, for good.
    """

    def __init__(self, database: Database, given: FixedKeys) -> None:
        self._database = database
        self._given = given
        self._required = given.required
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="mezzotint-keys")

    @property
    def required(self) -> bool:
        """Whether there is a key, or ever was one: revoking the last does not open the server."""
        if not self._required:
            self._required = self._database.read(any_key)
        return self._required

    def find(self, key: str) -> Caller | None:
        """Whose key it is; None when it is nobody's or was revoked."""
        stored = self._database.read(verify, key)
        if stored is None:
            return self._given.find(key)
        # On its own thread: a note must not make the caller wait for the disk.
        self._notes.submit(self._database.write, note_use, stored.id, time.time_ns() // 1000)
        return Caller(stored.name, stored.role, stored.id)

    def renew(self, caller: Caller) -> Caller | None:
        """The caller; None when its key was revoked meanwhile."""
        if caller.key_id == LOCAL:
            return self._given.renew(caller)
        stored = self._database.read(live, caller.key_id)
        return None if stored is None else Caller(stored.name, stored.role, stored.id)

    def close(self) -> None:
        """Write what is still to be noted; the database is whoever opened it's to close."""
        self._notes.shutdown()


def _checked(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "the API key is empty or holds a character that no header can carry; give one of "
            "letters, digits and punctuation, such as the output of `openssl rand -hex 32`"
        )
    return key


def _digest(key: str) -> bytes:
    # Equal lengths for the comparison. A key worth having is random: no slow hash is needed.
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
