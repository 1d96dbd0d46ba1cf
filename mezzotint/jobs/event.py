"""What is told of jobs while they go their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.store import Job
from mezzotint.types import Progress

EventKind = Literal[
    "queued", "started", "progress", "image", "done", "failed", "cancelled", "warning"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """What happened; which fields are set depends on the kind."""

    kind: EventKind
    job: Job | None = None  # as it was accepted; None in a warning that is about no job
    index: int | None = None  # of the picture, from 0
    progress: Progress | None = None
    image: StoredImage | None = None
    position: int | None = None  # in the line, from 1
    eta_s: float | None = None
    message: str | None = None  # of a failure or a warning
