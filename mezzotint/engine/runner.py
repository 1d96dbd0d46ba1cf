"""What turns requests into pictures: an engine, a pool of them, a fake in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from mezzotint.engine.plan import Largest
from mezzotint.engine.record import Mark, Observation
from mezzotint.engine.stats import EngineStats
from mezzotint.models.spec import ModelSpec
from mezzotint.types import Image, Progress, Provenance, Recipe, Request


class Ticket(Protocol):
    """A hold on one submitted request."""

    @property
    def id(self) -> int:
        """Unique within its runner."""
        ...

    @property
    def recipe(self) -> Recipe: ...

    @property
    def future(self) -> Future[Image]:
        """Resolves to the picture, to its error, or to Cancelled."""
        ...

    def result(self, timeout: float | None = None) -> Image:
        """Wait for the picture; raises its error, Cancelled, or TimeoutError (seconds)."""
        ...

    def done(self) -> bool: ...

    def cancel(self) -> bool:
        """Ask for an end within two steps; False when it had already finished."""
        ...

    def on_progress(self, callback: Callable[[Progress], None]) -> None:
        """Call back with every later Progress, from the runner's thread: return quickly."""
        ...


class Runner(Protocol):
    """Anything that turns requests into pictures; safe to call from any thread."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def provenance(self) -> Provenance: ...

    @property
    def largest(self) -> Largest:
        """What it has memory for now, within the model's limits."""
        ...

    def submit(self, request: Request) -> Ticket:
        """Check a request and queue it. RequestError when it is outside the model's limits."""
        ...

    def submit_all(self, requests: Sequence[Request]) -> Sequence[Ticket]:
        """Queue several requests, or none of them if one is wrong (RequestError)."""
        ...

    def stats(self) -> EngineStats: ...

    def observe(self, after: Mark) -> Observation:
        """What ran and ended since a mark (Mark() is the start), and where every device stands."""
        ...

    def close(self) -> None: ...
