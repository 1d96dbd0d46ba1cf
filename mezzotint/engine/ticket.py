"""A hold on one submitted request."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from mezzotint.engine.stats import Timeline
from mezzotint.types import Image, Progress, Recipe, Request


@dataclass(slots=True, eq=False)
class EngineTicket:
    """The engine's Ticket: its callers hold one side, the engine's thread fills the other."""

    id: int
    request: Request
    recipe: Recipe
    timeline: Timeline
    ask_cancel: Callable[[int], None]
    future: Future[Image] = field(default_factory=Future)
    _callbacks: list[Callable[[Progress], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # From here on only the engine ends it: Future.cancel() by a caller does nothing.
        self.future.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Image:
        return self.future.result(timeout)

    def done(self) -> bool:
        return self.future.done()

    def cancel(self) -> bool:
        if self.future.done():
            return False
        self.ask_cancel(self.id)
        return True

    def on_progress(self, callback: Callable[[Progress], None]) -> None:
        self._callbacks.append(callback)

    def report(self, progress: Progress) -> None:
        for callback in self._callbacks:
            callback(progress)
