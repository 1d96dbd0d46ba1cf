"""A picture's place in the line, and on which terms it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mezzotint.engine.runner import Ticket
from mezzotint.engine.stats import after_wait
from mezzotint.engine.ticket import HeldTicket
from mezzotint.jobs.line import Entry
from mezzotint.types import Image, MezzotintError, Progress, Request, StepRange


class DeadlineError(MezzotintError):
    """A picture was not finished in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On whose account and how soon a picture is made."""

    key_id: str = ""
    priority: int = 0
    deadline_s: float | None = None  # from now


@dataclass(frozen=True, slots=True)
class Outlook:
    """When a picture will be finished, as far as it can be told."""

    position: int | None  # in the line, from 1; None: it is being made
    eta_s: float | None  # from now


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request of the runner's came from."""

    entered_s: float  # into the line, monotonic
    started_s: float
    steps_range: StepRange | None  # what its caller left open
    job_id: str | None = None
    index: int = 0  # of the job's pictures


@dataclass(slots=True, eq=False, kw_only=True)
class Place(HeldTicket):
    """A picture's place in the line, and the ticket of whoever waits for it."""

    request: Request
    entry: Entry
    on_start: Callable[[], None] = lambda: None  # from the dispatcher's thread: return quickly
    on_return: Callable[[], None] = lambda: None  # the runner gave it back: it waits again
    entered_s: float = 0.0  # monotonic
    started_s: float = 0.0
    inner: Ticket | None = None  # the runner's
    share: float = 0.0  # of its steps that are done
    job: tuple[str, int] | None = None  # the stored job it belongs to, and which of its pictures
    verdict: MezzotintError | None = None  # what a cancelled one ends with

    @property
    def origin(self) -> Origin:
        """Where the runner's request comes from."""
        job_id, index = self.job or (None, 0)
        return Origin(self.entered_s, self.started_s, self.request.steps_range, job_id, index)

    def relay(self, progress: Progress) -> None:
        """Pass the runner's progress on."""
        if progress.stage == "denoise":
            self.share = progress.step / progress.steps
        self.report(progress)

    def with_wait(self, image: Image) -> Image:
        """The picture with the time in the line before what the runner measured."""
        waited_ms = (self.started_s - self.entered_s) * 1e3
        spans = after_wait(waited_ms, image.spans)
        return replace(image, spans=spans, submitted_s=self.entered_s)
