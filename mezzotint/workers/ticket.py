"""A hold on a request that another process works on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from mezzotint.types import Image, Progress, Recipe


@dataclass(slots=True, eq=False)
class PoolTicket:
    """The pool's Ticket; it resolves once, whoever comes first."""

    id: int
    recipe: Recipe
    ask_cancel: Callable[[int], None]
    future: Future[Image] = field(default_factory=Future)
    _callbacks: list[Callable[[Progress], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.future.set_running_or_notify_cancel()  # the pool cancels, never the future alone

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
        for callback in list(self._callbacks):
            callback(progress)

    def succeed(self, image: Image) -> None:
        with suppress(InvalidStateError):
            self.future.set_result(image)

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(error)
