"""A server in simulated time: the real scheduler and policies, a device made of measured costs."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mezzotint.config import make
from mezzotint.engine.capacity import Capacity
from mezzotint.engine.pack import DecodePack, DenoisePack, EncodePack, Pack
from mezzotint.engine.scheduler import Limits, Scheduler, Work
from mezzotint.jobs.steps import LoadMeter, StepPolicy
from mezzotint.models.spec import ModelSpec
from mezzotint.types import Recipe, StepRange
from mezzotint.workers.open import capacity as capacity_of

_PROMPT = tuple(range(60))  # token ids; what they are has no cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a device takes, in seconds; steps by the model's own cost."""

    tflop_per_s: float
    encode_s: float
    decode_s: float
    file_s: float
    shared: tuple[float, ...] = (1.0,)  # a step's length where 1, 2, ... share it, per request


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is served and how."""

    spec: ModelSpec
    device: Device
    recipe: Recipe  # as asked; its steps vary
    bounds: StepRange
    max_queue: int = 64  # pictures accepted and not finished
    limits: Limits = field(default_factory=lambda: Limits(slots=8))  # of the scheduler
    capacity: Capacity = field(default_factory=lambda: capacity_of(make(), gpus=1))

    @property
    def picture_s(self) -> float:
        """Seconds of the busiest stage for a picture as asked: the inverse of the capacity."""
        return self.spec.cost(self.recipe) * self.recipe.steps / self.device.tflop_per_s


@dataclass(frozen=True, slots=True)
class Made:
    """A finished picture."""

    arrived_s: float
    ended_s: float
    steps: int

    @property
    def latency_s(self) -> float:
        """From arrival to picture."""
        return self.ended_s - self.arrived_s


@dataclass(slots=True)
class Outcome:
    """What became of a trace."""

    made: list[Made] = field(default_factory=list)  # in order of their end
    given: list[tuple[float, int]] = field(default_factory=list)  # (arrival, steps) as decided
    refused: int = 0


class Simulation:
    """Runs one trace under one policy."""

    def __init__(self, service: Service, policy: StepPolicy) -> None:
        self._service = service
        self._policy = policy
        self._scheduler = Scheduler(service.limits)
        self._meter = LoadMeter()
        self._events: list[tuple[float, int, Pack]] = []  # ends of packs in flight
        self._order = itertools.count()
        self._free_s: dict[str, float] = defaultdict(float)  # by stage
        self._ready_s: dict[int, float] = {}  # by request: when its last pack ends
        self._line: deque[tuple[int, float]] = deque()  # (request, arrival)
        self._running: dict[int, tuple[float, int]] = {}  # (arrival, steps)
        self._busy_s = 0.0
        self.outcome = Outcome()

    @property
    def _pending(self) -> int:
        return len(self._line) + len(self._running)

    def run(self, arrivals_s: Iterable[float]) -> Outcome:
        """Let pictures arrive at these times, in order, and work until all are made."""
        for number, now_s in enumerate(arrivals_s):
            self._run_until(now_s)
            self._arrive(number, now_s)
            self._work(now_s)
        self._run_until(float("inf"))
        return self.outcome

    def _run_until(self, limit_s: float) -> None:
        while self._events and self._events[0][0] <= limit_s:
            now_s, _, pack = heapq.heappop(self._events)
            if isinstance(pack, DenoisePack):
                self._busy_s += self._length_s(pack)
            for request in self._scheduler.complete(pack).finished:
                self._finish(request, now_s)
            self._work(now_s)

    def _arrive(self, number: int, now_s: float) -> None:
        if self._pending >= self._service.max_queue:
            self.outcome.refused += 1
            return
        if self._pending == 0:
            self._meter.begin(now_s)
        self._line.append((number, now_s))

    def _work(self, now_s: float) -> None:
        step = self._service.spec.cost(self._service.recipe)
        while self._line and self._service.capacity.has_room([step] * len(self._running)):
            self._start(*self._line.popleft(), now_s)
        self._launch(now_s)

    def _start(self, number: int, arrived_s: float, now_s: float) -> None:
        service = self._service
        pending = self._pending + 1  # itself, which is in neither place now
        moment = self._meter.moment(pending, self._busy_s, now_s)
        steps = self._policy.choose(service.bounds, service.recipe.steps, moment)
        self._running[number] = (arrived_s, steps)
        self.outcome.given.append((arrived_s, steps))
        self._scheduler.submit(_work(service, number, steps))

    def _launch(self, now_s: float) -> None:
        while packs := self._scheduler.tick():
            for pack in packs:
                ready_s = max(self._ready_s.get(r, now_s) for r in pack.requests)
                start_s = max(now_s, ready_s, self._free_s[pack.stage])
                end_s = start_s + self._length_s(pack)
                self._free_s[pack.stage] = end_s
                self._ready_s |= dict.fromkeys(pack.requests, end_s)
                heapq.heappush(self._events, (end_s, next(self._order), pack))

    def _length_s(self, pack: Pack) -> float:
        device = self._service.device
        match pack:
            case EncodePack():
                return device.encode_s * len(pack.rows)
            case DecodePack():
                return device.decode_s * len(pack.rows)
            case DenoisePack():
                step = self._service.spec.cost(self._service.recipe)
                count = len(pack.rows)
                shared = device.shared[min(count, len(device.shared)) - 1]
                return count * step * shared / device.tflop_per_s

    def _finish(self, request: int, now_s: float) -> None:
        arrived_s, steps = self._running.pop(request)
        del self._ready_s[request]
        self._meter.made(now_s)
        ended_s = now_s + self._service.device.file_s
        self.outcome.made.append(Made(arrived_s, ended_s, steps))


def _work(service: Service, number: int, steps: int) -> Work:
    recipe = replace(service.recipe, steps=steps)
    return Work(
        id=number,
        recipe=recipe,
        prompt_ids=_PROMPT,
        negative_ids=_PROMPT if recipe.guided else None,
        sigmas=service.spec.sigmas(steps),
        signature=service.spec.signature(recipe, len(_PROMPT)),
        cost=service.spec.cost(recipe),
    )
