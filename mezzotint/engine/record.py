"""What an engine tells of its work as it goes: plain values that processes can hand on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from mezzotint.engine.stats import Outcome, picture_stages
from mezzotint.types import Recipe, Span

RunStage = Literal["encode", "denoise", "decode", "file"]
RUN_STAGES: tuple[RunStage, ...] = ("encode", "denoise", "decode", "file")
Cause = Literal["denoise", "encode", "decode", "file", "host", "idle"]
CAUSES: tuple[Cause, ...] = ("denoise", "encode", "decode", "file", "host", "idle")

MAX_RUNS = 8192  # kept: a minute of eight GPUs that take a step each 60 ms
MAX_PICTURES = 1024

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Interval:
    """When a launch ran, in seconds on the host's monotonic clock."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Member:
    """One request's part in a run."""

    request: int
    step: int  # how many of `steps` are done once it has run; 0 while it is encoded
    steps: int
    width: int  # px
    height: int  # px


@dataclass(frozen=True, slots=True)
class Run:
    """One launch: what ran, for whom and when, in seconds on the host's monotonic clock."""

    stage: RunStage
    start_s: float
    end_s: float
    replayed: bool  # from CUDA graphs alone
    members: tuple[Member, ...]  # of requests that were cancelled meanwhile, none
    device: int = 0  # which of the runner's devices


@dataclass(frozen=True, slots=True)
class Picture:
    """How a request ended; its time in each stage, and between them as "wait", in ms."""

    request: int
    outcome: Outcome
    width: int  # px
    height: int  # px
    steps: int
    submitted_s: float
    ended_s: float
    stages: dict[str, float]  # empty unless finished
    tflop: float  # of all its denoise steps
    device: int = 0


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """Totals of one device since its engine started."""

    device: int
    name: str
    precision: str
    clock: Literal["host", "device"]  # whose clock timed encode, denoise and decode
    launches: dict[RunStage, int]
    replays: dict[RunStage, int]  # of the launches
    packs: dict[int, int]  # denoise launches by number of requests
    busy_s: dict[RunStage, float]  # sums of run lengths: file writing may exceed the time
    causes_s: dict[Cause, float]  # all time shared out, once: see Balance
    memory_bytes: dict[str, int]  # by what holds it
    ceiling_tflops: float | None = None  # measured; see ceilings.py


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has read."""

    runs: int = 0
    pictures: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """What has come since a mark, and where every device stands."""

    mark: Mark  # for the next call
    missed: int  # runs that came and went since the last mark: the reader was too slow
    runs: tuple[Run, ...]
    pictures: tuple[Picture, ...]
    devices: tuple[DeviceReport, ...]


@dataclass(slots=True)
class Ring(Generic[Item]):
    """The newest of all that was added."""

    size: int
    total: int = 0
    _items: deque[Item] = field(init=False)

    def __post_init__(self) -> None:
        self._items = deque(maxlen=self.size)

    def add(self, item: Item) -> None:
        self._items.append(item)
        self.total += 1

    def since(self, total: int) -> tuple[Item, ...]:
        """What was added after there were `total`, as far as it is still kept."""
        count = min(self.total - total, len(self._items))
        return tuple(self._items)[-count:] if count > 0 else ()


def observe_rings(
    after: Mark, runs: Ring[Run], pictures: Ring[Picture], devices: tuple[DeviceReport, ...]
) -> Observation:
    """What has come into two rings since a mark."""
    new_runs = runs.since(after.runs)
    return Observation(
        mark=Mark(runs.total, pictures.total),
        missed=runs.total - after.runs - len(new_runs),
        runs=new_runs,
        pictures=pictures.since(after.pictures),
        devices=devices,
    )


def picture_of(
    request: int,
    outcome: Outcome,
    recipe: Recipe,
    step_tflop: float,
    spans: Iterable[Span],
    when_s: tuple[float, float],
    device: int = 0,
) -> Picture:
    """How a request ended that was submitted and ended `when_s`."""
    return Picture(
        request=request,
        outcome=outcome,
        width=recipe.width,
        height=recipe.height,
        steps=recipe.steps,
        submitted_s=when_s[0],
        ended_s=when_s[1],
        stages=picture_stages(spans) if outcome == "finished" else {},
        tflop=step_tflop * recipe.steps,
        device=device,
    )
