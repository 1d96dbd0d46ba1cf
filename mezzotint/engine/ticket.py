"""A hold on one submitted request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from mezzotint.engine.stats import Timeline
from mezzotint.types import Image, Progress, Recipe, Request

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class HeldTicket:
    """A Ticket: callers hold one side, a runner fills the other. It resolves once."""

    id: int
    recipe: Recipe
    ask_cancel: Callable[[int], None]
    future: Future[Image] = field(default_factory=Future)
    _callbacks: list[Callable[[Progress], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # From here on only the runner ends it: Future.cancel() by a caller does nothing.
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
        """Call back after each stage and step, on a thread of the runner's: return quickly.

        An error of the callback, whatever it is, ends its picture with that error.
        """
        self._callbacks.append(callback)

    def report(self, progress: Progress) -> None:
        for callback in list(self._callbacks):
            callback(progress)

    def succeed(self, image: Image) -> None:
        """Resolve to a picture, unless it has ended already."""
        self._resolve(lambda: self.future.set_result(image))

    def fail(self, error: BaseException) -> None:
        """Resolve to an error, unless it has ended already."""
        self._resolve(lambda: self.future.set_exception(error))

    def _resolve(self, end: Callable[[], None]) -> None:
        try:
            end()
        except InvalidStateError:
            pass
        except BaseException:  # the future has ended, and a callback of it left Python
            # As futures say of a callback's other errors; the runner's thread is not its to end.
            _log.exception("a callback broke when picture %d had ended", self.id)
        self._callbacks.clear()  # which may hold this: a picture must not wait for gc


@dataclass(slots=True, eq=False, kw_only=True)
class EngineTicket(HeldTicket):
    """The engine's own: with what it needs to make the file and to say what took how long."""

    request: Request
    timeline: Timeline
    is_own_thread: Callable[[], bool]  # of the engine

    def result(self, timeout: float | None = None) -> Image:
        if not self.future.done() and self.is_own_thread():
            raise RuntimeError(
                "a callback waits for a picture of the engine that called it, which waits for the "
                "callback; take the picture in another thread"
            )
        return self.future.result(timeout)
