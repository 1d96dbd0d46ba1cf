"""The users' own presets: a name and the choices of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from mezzotint.jobs.schema import presets
from mezzotint.types import Format, RequestError, StepRange

MAX_NAME = 100  # characters
MAX_PRESETS = 1000  # of one key


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a preset decides; None leaves it to the request. `guidance` has diffusers' meaning."""

    negative_prompt: str | None = None
    width: int | None = None  # px
    height: int | None = None  # px
    steps: int | StepRange | None = None
    guidance: float | None = None
    seed: int | None = None
    n: int | None = None
    format: Format | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPreset:
    """A preset that a user made."""

    id: str
    key_id: str
    name: str
    choices: Choices
    created_us: int


def save(
    connection: Connection, key_id: str, name: str, choices: Choices, *, id: str, now_us: int
) -> StoredPreset:
    """Store a preset, in place of the one of that name. RequestError: bad name, or too many."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise RequestError(f"the preset's name must be 1 to {MAX_NAME} printable characters")
    body = msgspec.json.encode(choices).decode("utf-8")
    same = (presets.c.key_id == key_id) & (presets.c.name == name)
    if connection.execute(update(presets).where(same).values(body=body)).rowcount == 0:
        _check_count(connection, key_id)
        row = {"id": id, "key_id": key_id, "name": name, "body": body, "created_us": now_us}
        connection.execute(insert(presets).values(row))
    return _preset(connection.execute(select(presets).where(same)).one())


def list_presets(connection: Connection, key_id: str) -> list[StoredPreset]:
    """A key's presets, by name."""
    rows = select(presets).where(presets.c.key_id == key_id).order_by(presets.c.name)
    return list(map(_preset, connection.execute(rows)))


def find(connection: Connection, key_id: str, name: str) -> StoredPreset | None:
    """A key's preset of this name, if there is one."""
    mine = (presets.c.key_id == key_id) & (presets.c.name == name)
    row = connection.execute(select(presets).where(mine)).one_or_none()
    return None if row is None else _preset(row)


def remove(connection: Connection, key_id: str, name: str) -> bool:
    """Delete a key's preset. -> whether there was one."""
    mine = (presets.c.key_id == key_id) & (presets.c.name == name)
    return connection.execute(delete(presets).where(mine)).rowcount > 0


def _check_count(connection: Connection, key_id: str) -> None:
    query = select(func.count()).select_from(presets).where(presets.c.key_id == key_id)
    if connection.execute(query).scalar_one() >= MAX_PRESETS:
        raise RequestError(f"there are {MAX_PRESETS} presets, which is the limit; delete some")


def _preset(row: Row[Any]) -> StoredPreset:
    return StoredPreset(
        id=row.id,
        key_id=row.key_id,
        name=row.name,
        choices=msgspec.json.decode(row.body, type=Choices),
        created_us=row.created_us,
    )
