"""Settings that were changed while running, and must hold after a restart."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, delete, insert, select

from mezzotint.jobs.schema import settings


def put(connection: Connection, name: str, value: object, now_us: int) -> None:
    """Store a setting, a value that JSON can hold."""
    text = msgspec.json.encode(value).decode("utf-8")
    connection.execute(delete(settings).where(settings.c.name == name))
    connection.execute(insert(settings).values(name=name, value=text, changed_us=now_us))


def all_settings(connection: Connection) -> dict[str, object]:
    """Every stored setting."""
    rows = connection.execute(select(settings.c.name, settings.c.value))
    return {row.name: msgspec.json.decode(row.value) for row in rows}
