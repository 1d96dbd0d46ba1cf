"""The one bounded line in front of a runner: pictures wait here, in fair order, and start here."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from mezzotint.engine.capacity import Capacity
from mezzotint.engine.record import Mark
from mezzotint.engine.runner import Runner
from mezzotint.jobs.line import Entry, Line
from mezzotint.jobs.rate import Rate
from mezzotint.jobs.room import Room
from mezzotint.jobs.steps import ByQueue, LoadMeter
from mezzotint.jobs.ticket import DeadlineError, Origin, Outlook, Place, Terms
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec
from mezzotint.types import (
    Cancelled,
    Image,
    MezzotintError,
    Recipe,
    Request,
    RequestError,
    StepRange,
)

_log = logging.getLogger(__name__)
_POLL_S = 0.05  # until a runner that is not ready is looked at again
_PAUSE_S = 0.5  # after a runner gave a picture back
_MAX_WAIT_S = 600
_ORIGINS = 4096
WAIT_TARGET_S = 10.0  # beyond such a wait, pictures that leave their steps open get fewer


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Supply:
    """A runner and what must be known of it."""

    runner: Runner
    count_tokens: Callable[[str], int]  # RequestError for a prompt beyond the limit
    capacity: Capacity
    is_ready: Callable[[], bool] = lambda: True
    on_picture: Callable[[Image], None] = lambda _: None  # from the runner's threads


class Dispatcher:
    """Takes pictures from the line to the runner while it has room; safe from any thread.

    A picture that a broken runner gives back waits again; nothing is started while the runner is
    not ready.
    """

    def __init__(
        self,
        supply: Supply,
        bound: Callable[[], int],
        wait_target_s: Callable[[], float] = lambda: WAIT_TARGET_S,
    ) -> None:
        self._supply = supply
        self._room = Room(bound)
        self._wait_target_s = wait_target_s
        self._policy = ByQueue(wait_target_s())
        self._meter = LoadMeter()
        self._mark = Mark()  # how far the runner's observations have been read
        self._ids = itertools.count()
        self._changed = threading.Condition()
        self._line = Line()
        self._rate = Rate()
        self._waiting: dict[int, Place] = {}
        self._running: dict[int, Place] = {}
        self._origins: OrderedDict[int, Origin] = OrderedDict()
        self.num_dropped = 0  # pictures that ended in the line: the runner never heard of them
        self._paused_until = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="mezzotint-line", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> ModelSpec:
        """What the runner takes."""
        return self._supply.runner.spec

    @property
    def pending(self) -> int:
        """Pictures admitted and not over."""
        return self._room.used

    @property
    def num_waiting(self) -> int:
        """Pictures in the line."""
        return len(self._waiting)

    def origin(self, request: int) -> Origin | None:
        """Where the runner's request with this number came from, if it is one of the last."""
        with self._changed:
            return self._origins.get(request)

    def admit(
        self, requests: Sequence[Request], terms: Terms, *, bounded: bool = True
    ) -> list[Place]:
        """Check requests and give them room; the caller lets them `enter`, or `leave`.

        RequestError outside the model's limits, or beyond the runner's memory; QueueFullError when
        there is no room for all.
        """
        places = [self._place(request, terms) for request in requests]
        for text in {text for r in requests for text in (r.prompt, r.negative_prompt)}:
            self._supply.count_tokens(text)
        with self._changed:
            if self._closed:
                raise Cancelled("the server is closing")
            if bounded:
                self._need_room(terms.key_id, len(places))
            self._room.take(terms.key_id, len(places))
        return places

    def need_room(self, key_id: str, num: int) -> None:
        """QueueFullError when there is no room for so many now: a look, before any work is done."""
        with self._changed:
            self._need_room(key_id, num)

    def enter(self, places: Sequence[Place]) -> None:
        """Let admitted pictures wait for their turn."""
        with self._changed:
            for place in places:
                place.entered_s = time.monotonic()
                self._line.add(place.entry)
                self._waiting[place.id] = place
            self._changed.notify()

    def leave(self, places: Sequence[Place]) -> None:
        """Give the room of admitted pictures back that never entered."""
        with self._changed:
            for place in places:
                self._room.give(place.entry.key_id)

    def withdraw(self, place: Place) -> bool:
        """Take a waiting picture out of the line; its ticket stays open. -> whether it waited."""
        with self._changed:
            return self._remove(place)

    def outlook(self) -> dict[int, Outlook]:
        """Every picture's position and time to go, by its place's id."""
        with self._changed:
            left = {id: (1 - p.share) * self._cost(p.recipe) for id, p in self._running.items()}
            order, rate = self._line.order(), replace(self._rate)
        ahead = sum(left.values())
        known = {
            id: Outlook(None, rate.seconds(min(ahead, own * len(left)))) for id, own in left.items()
        }
        for position, entry in enumerate(order, 1):
            ahead += entry.cost
            known[entry.id] = Outlook(position, rate.seconds(ahead))
        return known

    def close(self) -> None:
        """Start no more; what is not over is cancelled."""
        with self._changed:
            self._closed = True
            waiting, running = [*self._waiting.values()], [*self._running.values()]
            self._changed.notify()
        self._thread.join()
        for place in (*waiting, *running):
            place.cancel()

    def _place(self, request: Request, terms: Terms) -> Place:
        recipe = resolve(request, self.spec)
        self._supply.runner.largest.check(recipe)
        number = next(self._ids)
        deadline = math.inf if terms.deadline_s is None else time.monotonic() + terms.deadline_s
        entry = Entry(
            id=number,
            key_id=terms.key_id,
            priority=terms.priority,
            cost=self._cost(recipe),
            deadline=deadline,
        )
        # The seed may have been drawn just now: the ticket's recipe is what will be made.
        pinned = replace(request, seed=recipe.seed)
        return Place(id=number, recipe=recipe, ask_cancel=self._cancel, request=pinned, entry=entry)

    def _need_room(self, key_id: str, num: int) -> None:
        excess = self._room.excess(key_id, num)
        if excess > 0:
            raise self._room.full(key_id, num, self._wait_s(excess))

    def _wait_s(self, excess: int) -> int:
        """Seconds until so many pictures were finished; the caller holds the lock."""
        costs = [self._cost(place.recipe) for place in self._running.values()]
        costs += [entry.cost for entry in self._line.order()]
        wait_s = math.ceil(self._rate.seconds(sum(costs[:excess])) or 0.0)
        return min(max(wait_s, 1), _MAX_WAIT_S)

    def _remove(self, place: Place) -> bool:
        """Take a picture out of the line. -> whether it waited; the caller holds the lock."""
        waited = self._line.remove(place.id)
        if waited:
            del self._waiting[place.id]
            self._room.give(place.entry.key_id)
        return waited

    def _run(self) -> None:
        while not self._closed:
            try:
                self._turn()
            except Exception:  # one picture's defect must not end the thread that starts them all
                _log.exception("a defect in the line")
                time.sleep(_PAUSE_S)

    def _turn(self) -> None:
        """Start the next picture, or wait until something happens."""
        ready = self._supply.is_ready()
        self._expire()
        with self._changed:
            place = self._take() if ready else None
            if place is None:
                self._changed.wait(self._patience(ready))
        if place is not None:
            self._start(place)

    def _take(self) -> Place | None:
        """The next picture, if the runner has room; the caller holds the lock."""
        now = time.monotonic()
        if self._closed or now < self._paused_until:
            return None
        steps = [self.spec.cost(place.recipe) for place in self._running.values()]
        if not self._supply.capacity.has_room(steps):
            return None
        entry = self._line.take()
        if entry is None:
            return None
        if not self._running:
            self._rate.begin(now)
            self._meter.begin(now)
        place = self._running[entry.id] = self._waiting.pop(entry.id)
        return place

    def _patience(self, ready: bool) -> float | None:
        """How long nothing can happen that does not notify; the caller holds the lock."""
        now = time.monotonic()
        known = (*self._waiting.values(), *self._running.values())
        ends = [place.entry.deadline for place in known if place.verdict is None]
        if self._waiting and not ready:
            ends.append(now + _POLL_S)
        if self._waiting and now < self._paused_until:
            ends.append(self._paused_until)
        end = min(ends, default=math.inf)
        return None if end == math.inf else max(end - now, 0.001)

    def _expire(self) -> None:
        """End what was not finished in time."""
        now = time.monotonic()
        with self._changed:
            known = [*self._waiting.values(), *self._running.values()]
        for place in known:
            if place.entry.deadline <= now and place.verdict is None:
                self._end(
                    place, DeadlineError("it was not finished by its deadline; give it more time")
                )

    def _start(self, place: Place) -> None:
        place.started_s = time.monotonic()
        place.on_start()
        try:
            if place.request.steps_range is not None and place.request.steps is None:
                self._choose_steps(place, place.request.steps_range)
            (inner,) = self._supply.runner.submit_all([place.request])
        except Exception as error:  # whatever it is, it must end this picture and no other
            self._over(place, error)
            return
        inner.on_progress(place.relay)
        with self._changed:
            self._origins[inner.id] = place.origin
            if len(self._origins) > _ORIGINS:
                self._origins.popitem(last=False)
            place.inner = inner
            stop = place.verdict is not None
        if stop:
            inner.cancel()
        inner.future.add_done_callback(lambda future: self._finished(place, future))

    def _choose_steps(self, place: Place, bounds: StepRange) -> None:
        """Give a picture as many of the steps that it left open as the moment allows.

        Made again, it keeps them: it is the same picture.
        """
        seen = self._supply.runner.observe(self._mark)
        self._mark = seen.mark
        busy_s = [device.busy_s.get("denoise", 0.0) for device in seen.devices]
        mean_s = sum(busy_s) / len(busy_s) if busy_s else 0.0
        with self._changed:
            moment = self._meter.moment(self._room.used, mean_s, time.monotonic())
            self._policy.target_s = self._wait_target_s()
            steps = self._policy.choose(bounds, self.spec.steps, moment)
            place.request = replace(place.request, steps=steps)
            place.recipe = replace(place.recipe, steps=steps)

    def _cost(self, recipe: Recipe) -> float:
        """TFLOP of all steps."""
        return self.spec.cost(recipe) * recipe.steps

    def _finished(self, place: Place, future: Future[Image]) -> None:
        error = future.exception()
        if error is not None:
            self._over(place, error)
            return
        image = place.with_wait(future.result())
        with self._changed:
            self._rate.finished(self._cost(place.recipe), time.monotonic())
            self._meter.made(time.monotonic())
        self._release(place)
        try:
            self._supply.on_picture(image)
        finally:  # a defect in counting must not keep a picture from whoever waits for it
            place.succeed(image)

    def _over(self, place: Place, error: BaseException) -> None:
        """A picture was not made: it ends, unless that was the runner's fault alone."""
        broken = isinstance(error, Cancelled) or not self._supply.is_ready()
        if place.verdict is None and broken and not isinstance(error, RequestError):
            if self._put_back(place):
                place.on_return()
                return
            error = Cancelled("the server is closing")
        self._release(place)
        place.fail(place.verdict or error)

    def _put_back(self, place: Place) -> bool:
        with self._changed:
            if self._closed:
                return False
            del self._running[place.id]
            place.inner, place.share = None, 0.0
            self._waiting[place.id] = place
            self._line.give_back(place.entry)
            self._paused_until = time.monotonic() + _PAUSE_S
            self._changed.notify()
        return True

    def _release(self, place: Place) -> None:
        with self._changed:
            self._running.pop(place.id, None)
            place.inner = None  # whose callbacks hold the place: a picture must not wait for gc
            self._room.give(place.entry.key_id)
            self._changed.notify()

    def _cancel(self, number: int) -> None:
        with self._changed:
            place = self._waiting.get(number) or self._running.get(number)
        if place is not None:
            self._end(place, Cancelled("the picture was cancelled"))

    def _end(self, place: Place, verdict: MezzotintError) -> None:
        """Stop a picture; a running one ends within two steps."""
        with self._changed:
            place.verdict = place.verdict or verdict
            waited = self._remove(place)
            self.num_dropped += waited
            inner = place.inner
        if waited:
            place.fail(place.verdict)
        elif inner is not None:
            inner.cancel()
