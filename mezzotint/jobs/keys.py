"""API keys: made once, shown once, stored hashed.

A key holds 256 random bits, so a plain SHA-256 of it cannot be searched; a slow hash (scrypt) is
for secrets that people choose, and would cost its time in every request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select, update

from mezzotint.jobs.schema import keys
from mezzotint.types import RequestError

Role = Literal["user", "admin"]

MAX_NAME = 100  # characters
USED_EVERY_US = 60_000_000  # last use is written at most once a minute

_PREFIX = "mz"
_ID_BYTES = 6
_SECRET_BYTES = 32
_NO_HASH = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A stored key, without its secret."""

    id: str
    name: str
    role: Role
    created_us: int
    revoked_us: int | None
    last_used_us: int | None


def add(connection: Connection, name: str, role: Role, now_us: int) -> tuple[Key, str]:
    """Make a key. -> it and its token, which is stored nowhere. RequestError for a bad name."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise RequestError(f"the key's name {name!r} must be 1 to {MAX_NAME} printable characters")
    id, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
    row = {"id": id, "name": name, "role": role, "hash": _hash(secret), "created_us": now_us}
    connection.execute(insert(keys).values(row))
    return _key(_row(connection, id)), f"{_PREFIX}_{id}_{secret}"


def verify(connection: Connection, token: str) -> Key | None:
    """The key a token belongs to; None when it is none or was revoked.

    The hash is compared in constant time, also for a key that does not exist.
    """
    parts = token.split("_") if token.isascii() else []
    prefix, id, secret = parts if len(parts) == 3 else ("", "", "")
    row = connection.execute(select(keys).where(keys.c.id == id)).first()
    stored = _NO_HASH if row is None else str(row.hash)
    matches = hmac.compare_digest(stored.encode(), _hash(secret).encode())
    if row is None or not matches or prefix != _PREFIX or row.revoked_us is not None:
        return None
    return _key(row)


def any_key(connection: Connection) -> bool:
    """Whether a key was ever made."""
    return connection.execute(select(keys.c.id).limit(1)).first() is not None


def live(connection: Connection, id: str) -> Key | None:
    """A key by id; None when there is none or it was revoked."""
    row = connection.execute(select(keys).where(keys.c.id == id)).first()
    return None if row is None or row.revoked_us is not None else _key(row)


def note_use(connection: Connection, id: str, now_us: int) -> None:
    """Remember that a key was used, if that was not noted within the last minute."""
    stale = keys.c.last_used_us.is_(None) | (keys.c.last_used_us < now_us - USED_EVERY_US)
    connection.execute(update(keys).where(keys.c.id == id, stale).values(last_used_us=now_us))


def list_keys(connection: Connection) -> list[Key]:
    """All keys, the oldest first, revoked ones too."""
    rows = connection.execute(select(keys).order_by(keys.c.created_us, keys.c.id))
    return list(map(_key, rows))


def revoke(connection: Connection, id: str, now_us: int) -> Key:
    """End a key for good; its pictures stay. RequestError when there is none of this id."""
    live = (keys.c.id == id) & keys.c.revoked_us.is_(None)
    connection.execute(update(keys).where(live).values(revoked_us=now_us))
    row = connection.execute(select(keys).where(keys.c.id == id)).first()
    if row is None:
        raise RequestError(f"there is no key {id!r}; `mezzotint keys list` shows them")
    return _key(row)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _row(connection: Connection, id: str) -> Row[Any]:
    return connection.execute(select(keys).where(keys.c.id == id)).one()


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        role=row.role,
        created_us=row.created_us,
        revoked_us=row.revoked_us,
        last_used_us=row.last_used_us,
    )
