"""Pages of rows, newest first, that stay put while rows are added."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Row, Select, Table, tuple_

from mezzotint.types import RequestError

MAX_PAGE = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and the cursor that continues after them; None: there are no more."""

    items: tuple[T, ...]
    next: str | None


def fetch_page(
    connection: Connection, rows: Select[Any], table: Table, cursor: str | None, limit: int
) -> tuple[Sequence[Row[Any]], str | None]:
    """Rows of a table by (created_us, id), falling, and the next cursor.

    RequestError for a cursor that is none of ours and for a limit out of range.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise RequestError(f"limit {limit} is out of range; give 1 to {MAX_PAGE}")
    position = tuple_(table.c.created_us, table.c.id)
    if cursor is not None:
        rows = rows.where(position < _decode(cursor))
    rows = rows.order_by(table.c.created_us.desc(), table.c.id.desc()).limit(limit + 1)
    found = connection.execute(rows).all()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], _encode(last.created_us, last.id)


def _encode(created_us: int, id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_us}:{id}".encode()).decode("ascii").rstrip("=")


def _decode(cursor: str) -> tuple[int, str]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        created_us, _, id = base64.urlsafe_b64decode(padded).decode("utf-8").partition(":")
        position = int(created_us)
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise RequestError("the cursor is none of this server's; begin without one") from error
    if not (id and 0 <= position < 2**63):
        raise RequestError("the cursor is none of this server's; begin without one")
    return position, id
