"""What the server keeps on disk, as its APIs are given it."""

from __future__ import annotations

from dataclasses import dataclass

from mezzotint.jobs.gallery import Gallery


@dataclass(frozen=True, slots=True)
class History:
    """An open data folder; whoever opened it closes it."""

    gallery: Gallery
