"""Which request goes to which worker next? Pure: plain values in, pairs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request to place; a suspect was running when a worker broke."""

    id: int
    cost: float  # TFLOP of one step times its steps
    suspect: bool


@dataclass(slots=True)
class Seat:
    """A worker that takes work; changed while requests are placed."""

    worker: int
    room: int  # requests it may still take
    load: float  # cost of those it holds
    empty: bool
    suspect: bool  # it holds a suspect

    def take(self, waiting: Waiting) -> tuple[int, int]:
        self.room -= 1
        self.load += waiting.cost
        self.empty = False
        self.suspect |= waiting.suspect
        return waiting.id, self.worker


def place(queue: Sequence[Waiting], seats: Sequence[Seat]) -> list[tuple[int, int]]:
    """(request, worker) pairs to start now, in the queue's order, to the least loaded worker.

    A suspect runs alone: when it breaks its worker again, no other request is blamed or lost with
    it. The worker that is closest to empty is kept free for it; the others go on.
    """
    placed = []
    seats = [seat for seat in seats if not seat.suspect]
    for waiting in sorted(queue, key=lambda each: not each.suspect):
        seat = _least_loaded(seats, waiting)
        if seat is None:
            break
        if waiting.suspect:
            seats.remove(seat)
            if not seat.empty:
                continue
        placed.append(seat.take(waiting))
    return placed


def _least_loaded(seats: list[Seat], waiting: Waiting) -> Seat | None:
    open_seats = [seat for seat in seats if waiting.suspect or seat.room > 0]
    return min(open_seats, key=lambda seat: (not seat.empty, seat.load, seat.worker), default=None)
