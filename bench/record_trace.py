"""Record what the stats stream tells of a mixed load: python -m bench.record_trace --out FILE.

    python -m bench.record_trace --random-weights z-image-turbo --out h200.jsonl.gz  # on a GPU
    mezzotint serve --replay h200.jsonl.gz                                           # anywhere

The load is like a day in small: one picture at a time, then bursts of mixed sizes, then a few that
are cancelled, then rest; every GPU that is visible takes part.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from pathlib import Path

from mezzotint.config import make
from mezzotint.engine.runner import Runner, Ticket
from mezzotint.models.spec import ModelSpec
from mezzotint.server.frame import Frame, encode_frame
from mezzotint.server.gpus import Gpus
from mezzotint.server.live import LiveFeed
from mezzotint.server.queue import Queue
from mezzotint.server.replay import Header, write_recording
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.watcher import PERIOD_S
from mezzotint.types import Request
from mezzotint.version import __version__
from mezzotint.workers.open import open_pool

MAX_BYTES = 500_000
_PROMPTS = ("a red apple on green grass", "a lighthouse in the fog at dawn, oil on canvas", "猫")


def main() -> None:
    """Parse, record, write, say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.record_trace", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=40.0, help="of the load")
    parser.add_argument("--random-weights", default=None, help="as of `mezzotint bench`")
    parser.add_argument("--model", default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--note", default="", help="what the page says of the recording")
    chosen = parser.parse_args()
    names = ("random_weights", "model", "device", "precision")
    pool = open_pool(make(**{name: getattr(chosen, name) for name in names}))
    source = RunnerSource(lambda: Served(pool, len))
    source.start()
    while source.peek() is None:  # until the weights are loaded
        time.sleep(0.1)
    _warm_up(pool)
    model = pool.provenance.model
    frames = record(pool, source, chosen.seconds)
    source.close()
    note = chosen.note or f"{pool.provenance.device}, a mixed load of {chosen.seconds:.0f} s"
    header = Header(mezzotint_recording=1, model=model, version=__version__, note=note)
    write_recording(chosen.out, header, frames)
    size = chosen.out.stat().st_size
    runs = sum(len(frame.runs) for frame in frames)
    print(f"{chosen.out}: {len(frames)} frames, {runs} runs, {size} bytes")
    if size > MAX_BYTES:
        raise SystemExit(f"that is above {MAX_BYTES} bytes; give fewer --seconds")


def record(runner: Runner, source: RunnerSource, seconds: float) -> list[Frame]:
    """The frames of a load, as a page would get them, from the load's start."""
    time.sleep(2.0)  # every worker has reported
    feed = LiveFeed(source, Queue(1024), Gpus())
    feed.next()  # what was made to warm up is not part of it
    load = threading.Thread(target=_load, args=(runner, seconds), daemon=True)
    load.start()
    frames: list[Frame] = []
    rest_until = float("inf")
    while time.monotonic() < rest_until:
        time.sleep(PERIOD_S)
        frame = feed.next()
        if frame is not None:
            frames.append(Frame.model_validate_json(encode_frame(frame)))
        if not load.is_alive() and rest_until == float("inf"):
            rest_until = time.monotonic() + 2.0
    return frames


def _warm_up(runner: Runner) -> None:
    """Compile and record what later pictures only replay, in every worker, before it counts."""
    for _ in range(2):
        _finish(
            [
                runner.submit(Request(prompt=text, width=width, height=height, seed=number))
                for width, height in runner.spec.sizes
                for number, text in enumerate(_PROMPTS)
            ]
        )


def _load(runner: Runner, seconds: float) -> None:
    rng = random.Random(7)  # noqa: S311 - the same load each time
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(2):  # one at a time: nothing overlaps
            _finish([runner.submit(_request(runner.spec, rng))])
        burst = [runner.submit(_request(runner.spec, rng)) for _ in range(rng.randint(8, 16))]
        for ticket in burst[-2:]:
            ticket.cancel()
        _finish(burst)
        time.sleep(rng.uniform(0.2, 1.0))


def _request(spec: ModelSpec, rng: random.Random) -> Request:
    width, height = rng.choice(spec.sizes)
    guided = rng.random() < 0.25
    return Request(
        prompt=rng.choice(_PROMPTS),
        width=width,
        height=height,
        steps=rng.choice((spec.steps, spec.steps, max(4, spec.steps // 2))),
        guidance=1.5 if guided else 0.0,
        seed=rng.randrange(2**31),
    )


def _finish(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        ticket.future.exception()


if __name__ == "__main__":
    main()
