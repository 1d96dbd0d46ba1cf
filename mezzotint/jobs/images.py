"""Rows of finished pictures: listed, searched, starred."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from mezzotint.jobs.paging import Page, fetch_page
from mezzotint.jobs.schema import images
from mezzotint.types import Format, RequestError

MAX_SEARCH = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """A picture in the history; `file` is below the folder of outputs."""

    id: str
    job_id: str
    index: int
    key_id: str
    seed: int
    width: int  # px
    height: int  # px
    format: Format
    bytes: int
    sha256: str
    file: str
    prompt: str
    starred: bool
    created_us: int
    timings: Mapping[str, float] | None = None  # ms by stage
    steps: int | None = None  # that it got, where its job left them open


def add(connection: Connection, image: StoredImage) -> None:
    """Store a picture's row."""
    values = asdict(image) | {"search": _fold(image.prompt), "timings": _timings_text(image)}
    connection.execute(insert(images).values(values))


def get(connection: Connection, id: str, key_id: str | None = None) -> StoredImage | None:
    """A picture by id; with `key_id`, only if it is that key's."""
    row = connection.execute(_of_key(select(images).where(images.c.id == id), key_id)).first()
    return None if row is None else _image(row)


def of_job(connection: Connection, job_id: str) -> list[StoredImage]:
    """A job's pictures, in order."""
    rows = select(images).where(images.c.job_id == job_id).order_by(images.c.index)
    return list(map(_image, connection.execute(rows)))


def of_jobs(connection: Connection, job_ids: Sequence[str]) -> dict[str, list[StoredImage]]:
    """The pictures of several jobs, in order, by job."""
    found: dict[str, list[StoredImage]] = {id: [] for id in job_ids}
    rows = select(images).where(images.c.job_id.in_(job_ids)).order_by(images.c.index)
    for image in map(_image, connection.execute(rows)):
        found[image.job_id].append(image)
    return found


def page(
    connection: Connection,
    *,
    key_id: str | None = None,
    search: str = "",
    starred: bool = False,
    format: Format | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[StoredImage]:
    """Pictures, newest first; `search` names words that the prompt must hold, in any script.

    Searching reads every row's text (LIKE): SQLite's trigram index finds nothing for words of one
    or two letters, which most Chinese words have. RequestError above MAX_SEARCH characters.
    """
    rows = _of_key(select(images), key_id)
    if starred:
        rows = rows.where(images.c.starred)
    if format is not None:
        rows = rows.where(images.c.format == format)
    for word in _words(search):
        rows = rows.where(images.c.search.contains(word, autoescape=True))
    found, following = fetch_page(connection, rows, images, cursor, limit)
    return Page(tuple(map(_image, found)), following)


def set_starred(connection: Connection, id: str, starred: bool) -> bool:
    """Star a picture or take its star. -> whether there is such a picture."""
    query = update(images).where(images.c.id == id).values(starred=starred)
    return connection.execute(query).rowcount > 0


def remove(connection: Connection, id: str) -> bool:
    """Delete a picture's row. -> whether there was one."""
    return connection.execute(delete(images).where(images.c.id == id)).rowcount > 0


def unstarred(connection: Connection) -> list[tuple[str, int, int]]:
    """(id, created_us, bytes) of every picture without a star, newest first."""
    columns = (images.c.id, images.c.created_us, images.c.bytes)
    order = (images.c.created_us.desc(), images.c.id.desc())
    rows = connection.execute(select(*columns).where(~images.c.starred).order_by(*order))
    return [(row.id, row.created_us, row.bytes) for row in rows]


def _timings_text(image: StoredImage) -> str | None:
    return None if image.timings is None else msgspec.json.encode(image.timings).decode("ascii")


def _words(search: str) -> list[str]:
    if len(search) > MAX_SEARCH:
        raise RequestError(f"the search has {len(search)} characters; give at most {MAX_SEARCH}")
    return _fold(search).split()


def _fold(text: str) -> str:
    """Case and width do not matter when searching; a lone surrogate cannot be stored."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return folded.encode("utf-8", "replace").decode("utf-8")


def _of_key(rows: Select[Any], key_id: str | None) -> Select[Any]:
    return rows if key_id is None else rows.where(images.c.key_id == key_id)


def _image(row: Row[Any]) -> StoredImage:
    values = row._asdict()
    del values["search"]
    if row.timings is not None:
        values["timings"] = msgspec.json.decode(row.timings, type=dict[str, float])
    return StoredImage(**values)
