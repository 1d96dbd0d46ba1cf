"""A job that is not over, as memory knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mezzotint.jobs.store import Job
from mezzotint.jobs.ticket import Outlook, Place
from mezzotint.types import Progress

_NEAR = 20  # places from the front of the line


@dataclass(frozen=True, slots=True)
class LiveJob:
    """What only memory knows of a job that is not over."""

    position: int | None  # of its next picture in the line, from 1
    eta_s: float | None  # until its last picture
    index: int | None  # of the picture that moved on last
    progress: Progress | None


@dataclass(slots=True, eq=False)
class OpenJob:
    """A job and its pictures that are not over; one thread changes it, any may look."""

    job: Job
    places: dict[int, Place] = field(default_factory=dict)  # pictures that are not over, by index
    running: set[int] = field(default_factory=set)
    started: bool = False
    latest: tuple[int, Progress] | None = None
    told: int | None = None  # the position
    error: str | None = None
    cancelled: bool = False  # by its owner
    dropped: bool = False  # a picture is left for the next start of the server

    def live(self, outlook: Mapping[int, Outlook]) -> LiveJob:
        """Where it stands, by what the line expects of every place in it."""
        known = [outlook[p.id] for p in [*self.places.values()] if p.id in outlook]
        positions = (o.position for o in known if o.position is not None)
        etas = (o.eta_s for o in known if o.eta_s is not None)
        index, progress = self.latest or (None, None)
        return LiveJob(min(positions, default=None), max(etas, default=None), index, progress)

    def worth_telling(self, position: int | None) -> bool:
        """Far from the front every step of every job would flood whoever listens."""
        if position is None or self.told is None:
            return position != self.told
        near = position <= _NEAR
        return position != self.told and (near or not 0.9 * self.told < position <= self.told)
