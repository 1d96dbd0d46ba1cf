"""A batch: every request submitted, every picture written as it finishes, every end clean."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import Any

from mezzotint.cli.display import Display
from mezzotint.engine.engine import Engine
from mezzotint.engine.stats import stage_totals
from mezzotint.engine.ticket import EngineTicket
from mezzotint.types import Image, MezzotintError, Progress, Provenance, Recipe, Request, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is told about a picture that was written; the picture itself is let go."""

    path: str
    recipe: Recipe
    provenance: Provenance
    stage_ms: dict[str, float]
    spans: tuple[Span, ...]
    submitted_s: float
    sha256: str  # of the file


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch ended: the pictures in the order asked for, and what stopped it, if anything."""

    records: tuple[Record, ...]
    error: MezzotintError | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class _Stepped:
    request: int
    step: int


@dataclass(frozen=True, slots=True)
class _Finished:
    request: int


@dataclass(frozen=True, slots=True)
class _Signal:
    number: int


_Event = _Stepped | _Finished | _Signal


def run_batch(
    engine: Engine, requests: Sequence[Request], save: Callable[[Image], str], display: Display
) -> Outcome:
    """Make and write all pictures. RequestError, with nothing made, if one request is wrong.

    The first error, Ctrl-C or SIGTERM ends it within a step: what is finished by then is kept.
    """
    inbox: SimpleQueue[_Event] = SimpleQueue()
    with _signals_in(inbox):
        batch = _Batch(engine, engine.submit_all(requests), save, display)
        batch.watch(inbox)
        with display:
            return batch.run(inbox)


class _Batch:
    """The tickets that are open and the records of those that are not."""

    def __init__(
        self,
        engine: Engine,
        tickets: list[EngineTicket],
        save: Callable[[Image], str],
        display: Display,
    ) -> None:
        self._engine = engine
        self._open = dict(enumerate(tickets))
        self._save = save
        self._display = display
        self._records: dict[int, Record] = {}

    def watch(self, inbox: SimpleQueue[_Event]) -> None:
        """Have the engine's threads put events into `inbox`."""
        for index, ticket in self._open.items():
            ticket.on_progress(_step_to(inbox, index))
            # Ends of every kind: a picture, an error, a cancellation.
            ticket.future.add_done_callback(_end_to(inbox, index))

    def run(self, inbox: SimpleQueue[_Event]) -> Outcome:
        total = sum(ticket.recipe.steps for ticket in self._open.values())
        self._display.start(len(self._open), total)
        try:
            while self._open:
                match inbox.get():
                    case _Signal(number):
                        self._keep_finished()
                        return self._outcome(signal=number)
                    case _Stepped(index, step):
                        self._display.step(index, step)
                    case _Finished(index):
                        self._finish(index)
        except MezzotintError as error:
            with suppress(MezzotintError):  # the first error is the one to tell
                self._keep_finished()
            return self._outcome(error=error)
        return self._outcome()

    def _finish(self, index: int) -> None:
        ticket = self._open.pop(index)  # a long batch must not hold every picture
        image = ticket.result()
        path = self._save(image)
        record = Record(
            path=path,
            recipe=image.recipe,
            provenance=image.provenance,
            stage_ms=stage_totals(image.spans),
            spans=image.spans,
            submitted_s=image.submitted_s,
            sha256=hashlib.sha256(image.data).hexdigest(),
        )
        self._records[index] = record
        self._display.step(index, image.recipe.steps)
        self._display.picture(path)

    def _keep_finished(self) -> None:
        """Stop the engine; pictures it had decoded by then are written like any other."""
        self._engine.close()
        for index in sorted(self._open):
            future = self._open[index].future
            if future.done() and future.exception() is None:
                self._finish(index)

    def _outcome(
        self, *, error: MezzotintError | None = None, signal: int | None = None
    ) -> Outcome:
        records = tuple(self._records[index] for index in sorted(self._records))
        return Outcome(records, error, signal)


@contextmanager
def _signals_in(inbox: SimpleQueue[_Event]) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into an event, so that none cuts a file in two.

    The second one acts as usual, for whoever cannot wait for the step to end.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        inbox.put(_Signal(number))  # SimpleQueue.put is reentrant: made for this
        signal.signal(number, before[number])

    # What was ignored from the start stays so: nohup and background jobs rely on it.
    asked = (signal.SIGINT, signal.SIGTERM)
    heard = [number for number in asked if signal.getsignal(number) != signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.signal(number, receive) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _step_to(inbox: SimpleQueue[_Event], index: int) -> Callable[[Progress], None]:
    return lambda progress: inbox.put(_Stepped(index, progress.step))


def _end_to(inbox: SimpleQueue[_Event], index: int) -> Callable[[object], None]:
    return lambda future: inbox.put(_Finished(index))
