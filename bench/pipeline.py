"""What the pipeline around a forward is worth: three streams, their priorities, timings, watchers.

`python -m bench.pipeline [--precision fp8] [--kinds NAME,...] [--out rows.jsonl]`. Random weights
at the real size, 16 pictures asked for at once, one engine that is changed between rounds while it
is idle; rounds of all kinds take turns, so that a drifting clock favours none.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bench.environment import environment, need_gpu
from bench.pictures import names_of
from bench.rows import Row, append
from mezzotint.engine.engine import Engine
from mezzotint.engine.pack import StageName
from mezzotint.engine.record import Interval
from mezzotint.engine.stage import CudaStage, Launch, Stage
from mezzotint.measure.timing import by_engine
from mezzotint.measure.workload import Workload, new_prompts
from mezzotint.server.chronicle import Chronicle
from mezzotint.server.frame import encode_frame
from mezzotint.server.gpus import Gpus
from mezzotint.server.live import LiveFeed
from mezzotint.server.queue import Queue
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.watcher import PERIOD_S

WORKLOADS = (
    Workload("1024px-8-x16", 1024, 1024, 8, 0.0, at_once=16),
    Workload("512px-8-x16", 512, 512, 8, 0.0, at_once=16),
)
WARMUPS = 2
_NOTES = ("arrived", "launching", "lost", "ran", "writing", "wrote")

Kind = Callable[[Engine], AbstractContextManager[None]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument("--random-weights", default="z-image-turbo", help="or none: the bundled")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--kinds", type=partial(names_of, tuple(KINDS)), default=list(KINDS))
    parser.add_argument("--sides", default="1024,512", help="of the pictures, px")
    parser.add_argument("--count", type=int, default=16, help="pictures a round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    parser.add_argument("--commit", help="of the measured tree, for a copy without history")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    weights = None if options.random_weights == "none" else options.random_weights
    if weights is not None:
        need_gpu()
    about = environment("bench.pipeline", options.commit)
    kinds = {name: KINDS[name] for name in KINDS if name in options.kinds}
    with Engine(random_weights=weights, precision=options.precision) as engine:
        about["precision"] = engine.provenance.precision
        for side in map(int, options.sides.split(",")):
            size = f"{side}px-8-x{options.count}"
            workload = Workload(size, side, side, 8, 0.0, at_once=options.count)
            for row in compare(engine, workload, kinds, options.rounds):
                append(options.out, about | row)
                print(line(row), flush=True)
    return 0


def compare(
    engine: Engine, workload: Workload, kinds: dict[str, Kind], rounds: int
) -> Iterator[Row]:
    """Pictures a second of each kind, and their ratio to the engine as it is."""
    prompts, make = new_prompts(), by_engine(engine)

    def images_per_s() -> float:
        made = make([next(prompts) for _ in range(workload.at_once)], workload)
        return workload.at_once / made.file_s

    for _ in range(WARMUPS):
        images_per_s()
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, kind in kinds.items():
            with kind(engine):
                rates[name].append(images_per_s())
    own = rates.get(AS_IT_IS)
    for name, found in rates.items():
        ratio = None if own is None else median(a / b for a, b in zip(found, own, strict=True))
        yield {
            "workload": workload.name,
            "kind": name,
            "images_per_s": median(found),
            "rounds": found,
            "to_as_it_is": ratio,  # median over rounds
        }


def line(row: Row) -> str:
    """A row for reading."""
    ratio = "" if row["to_as_it_is"] is None else f"{row['to_as_it_is']:8.3f} x"
    rounds = " ".join(f"{rate:.2f}" for rate in row["rounds"])
    return f"{row['workload']:16}{row['kind']:18}{row['images_per_s']:8.2f}/s{ratio}   {rounds}"


@contextmanager
def _stages(engine: Engine, change: Callable[[StageName, Stage], Stage]) -> Iterator[None]:
    """The idle engine with other stages."""
    executor = engine._loop._executor
    before = executor._stages
    executor._stages = {name: change(name, stage) for name, stage in before.items()}
    try:
        yield
    finally:
        executor._stages = before


def _one_stream(engine: Engine) -> AbstractContextManager[None]:
    """Encoding and decoding wait their turn among the steps."""
    shared = engine._loop._executor._stages["denoise"]
    return _stages(engine, lambda name, stage: shared)


def _with_priorities(**levels: int) -> Kind:
    def change(name: StageName, stage: Stage) -> Stage:
        if not isinstance(stage, CudaStage):
            return stage
        return CudaStage(torch.cuda.Stream(priority=levels.get(name, 0)), stage.clock)

    return lambda engine: _stages(engine, change)


@contextmanager
def _untold(engine: Engine) -> Iterator[None]:
    """No events but those that order work, and nobody takes note."""
    loop = engine._loop
    recorder = loop._recorder
    loop._recorder = engine._recorder = _Silent(recorder)  # type: ignore[assignment]
    try:
        with _stages(engine, lambda name, stage: _untimed(stage)):
            yield
    finally:
        loop._recorder = engine._recorder = recorder


def _untimed(stage: Stage) -> Stage:
    return _UntimedStage(stage.stream) if isinstance(stage, CudaStage) else stage


@dataclass(frozen=True)
class _UntimedLaunch:
    end: torch.cuda.Event

    def done(self) -> bool:
        return bool(self.end.query())

    def wait(self) -> Interval:
        self.end.synchronize()
        now = time.monotonic()
        return Interval(now, now)


@dataclass(frozen=True)
class _UntimedStage:
    """A CudaStage with the one event a launch cannot do without."""

    stream: torch.cuda.Stream

    def launch(self, work: Callable[[], None], after: tuple[Launch, ...]) -> Launch:
        end = torch.cuda.Event(blocking=True)
        with torch.cuda.stream(self.stream):
            for launch in after:
                if isinstance(launch, _UntimedLaunch):
                    self.stream.wait_event(launch.end)
            work()
            end.record()
        return _UntimedLaunch(end)


class _Silent:
    """A recorder that counts outcomes and nothing else."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return (lambda *_, **__: None) if name in _NOTES else getattr(self._recorder, name)


@contextmanager
def _watched(engine: Engine) -> Iterator[None]:
    """A reader makes and encodes frames four times a second, as the server does for its pages."""
    source = RunnerSource(lambda: Served(engine, len))
    source.start()
    while source.peek() is None:
        time.sleep(0.01)
    feed, chronicle = LiveFeed(source, Queue(lambda: 64), Gpus()), Chronicle()
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(PERIOD_S):
            frame = feed.next()
            if frame is not None:
                chronicle.add(frame)
                encode_frame(frame)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()


AS_IT_IS = "as it is"
KINDS: dict[str, Kind] = {
    AS_IT_IS: lambda _: nullcontext(),
    "one stream": _one_stream,
    "denoise first": _with_priorities(denoise=-1),
    "others first": _with_priorities(encode=-1, decode=-1),
    "untold": _untold,
    "watched": _watched,
}

if __name__ == "__main__":
    sys.exit(main())
