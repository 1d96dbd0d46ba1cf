"""What watching costs: python -m bench.watched --random-weights z-image-turbo.

Rounds of pictures, in turn: nobody takes note (the engine's recorder does nothing), and watched (it
takes note, and a reader makes and encodes frames four times a second, as the server does for its
pages). Prints pictures a second of each, and what the watched rounds lose.
"""

from __future__ import annotations

import argparse
import threading
import time
from statistics import median
from typing import Any

from mezzotint.engine.engine import Engine
from mezzotint.server.chronicle import Chronicle
from mezzotint.server.frame import encode_frame
from mezzotint.server.gpus import Gpus
from mezzotint.server.live import LiveFeed
from mezzotint.server.queue import Queue
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.watcher import PERIOD_S
from mezzotint.types import Request

_NOTES = ("arrived", "launching", "lost", "ran", "writing", "wrote")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random-weights", default=None)
    parser.add_argument("--side", type=int, default=512, help="of a picture, px")
    parser.add_argument("--count", type=int, default=32, help="pictures a round")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind")
    chosen = parser.parse_args()
    with Engine(random_weights=chosen.random_weights) as engine:
        request = Request(prompt="a red apple", width=chosen.side, height=chosen.side)
        for _ in range(2):
            _round(engine, request, chosen.count)  # graphs are captured
        alone, watched = [], []
        for _ in range(chosen.rounds):
            alone.append(_unnoted(engine, request, chosen.count))
            watched.append(_watched(engine, request, chosen.count))
    print(f"nobody  {median(alone):8.3f} pictures/s  {_list(alone)}")
    print(f"watched {median(watched):8.3f} pictures/s  {_list(watched)}")
    print(f"watching costs {1 - median(watched) / median(alone):.2%}")


def _round(engine: Engine, request: Request, count: int) -> float:
    """Pictures a second, all asked for at once."""
    start = time.perf_counter()
    for ticket in engine.submit_all([request] * count):
        ticket.result()
    return count / (time.perf_counter() - start)


def _unnoted(engine: Engine, request: Request, count: int) -> float:
    loop: Any = engine._loop
    recorder = loop._recorder
    loop._recorder = engine._recorder = _Silent(recorder)
    try:
        return _round(engine, request, count)
    finally:
        loop._recorder = engine._recorder = recorder


class _Silent:
    """A recorder that counts outcomes and nothing else."""

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return (lambda *_, **__: None) if name in _NOTES else getattr(self._recorder, name)


def _watched(engine: Engine, request: Request, count: int) -> float:
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
        return _round(engine, request, count)
    finally:
        stop.set()
        reader.join()


def _list(rates: list[float]) -> str:
    return " ".join(f"{rate:.2f}" for rate in rates)


if __name__ == "__main__":
    main()
