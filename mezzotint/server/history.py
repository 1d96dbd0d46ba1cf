"""What the server keeps on disk, as its APIs are given it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from mezzotint.jobs.gallery import Gallery
from mezzotint.server.keys import Caller


@dataclass(frozen=True, slots=True)
class History:
    """An open data folder; whoever opened it closes it."""

    gallery: Gallery


def scope_of(http: Request) -> str | None:
    """Whose jobs and pictures a caller sees; None: everybody's."""
    caller: Caller = http.state.caller
    return None if caller.role == "admin" else caller.key_id
