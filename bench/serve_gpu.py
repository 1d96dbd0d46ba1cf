"""The server on a GPU beside the bare engine: `python -m bench.serve_gpu --out rows.jsonl`.

Random weights at Z-Image-Turbo's size, 1024 px, 8 steps, some three minutes. Each part's row is
written as it comes; a part that breaks is a row with its error, and the others go on:

- `gpu start`: how long engine and server take to load, side by side;
- `gpu throughput`: saturated, the server's as a share of the engine's, and what looks cost;
- `gpu overhead`: what the server adds to one picture;
- `gpu first look`: how soon after denoising begins a caller sees something.

Needs an NVIDIA GPU with 80 GB (engine and server stand side by side, and take turns) and what the
extra `serve` installs. `--short` makes a few small pictures of the bundled model on any machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.environment import environment, need_gpu
from bench.rows import append
from bench.server import ServerProcess
from mezzotint import Engine, Request
from mezzotint.config import make
from mezzotint.measure.workload import prompt

_CALLERS = 8
_LIMIT_S = 120  # of one picture
_LOAD_S = 300

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is measured, and how often."""

    config: dict[str, str]  # of engine and server alike
    side: int  # px
    steps: int
    warm: int  # pictures, until graphs are captured and clocks are up
    rounds: int
    saturated: int  # pictures of one saturated run
    single: int  # pictures one after the other
    limit_s: float = 210.0  # no further round begins after its part's share of this


FULL = Setup(
    config={"random_weights": "z-image-turbo", "device": "cuda", "memory": "32GiB"},
    side=1024,
    steps=8,
    warm=4,
    rounds=3,
    saturated=10,
    single=8,
)
SHORT = Setup(config={"device": "cpu"}, side=128, steps=4, warm=1, rounds=1, saturated=4, single=2)


@dataclass(slots=True)
class Sides:
    """The engine and the server, once they have started."""

    data: Path
    stack: ExitStack
    began: float = field(default_factory=time.monotonic)
    _engine: Engine | None = None
    _server: ServerProcess | None = None

    def start(self, setup: Setup) -> Row:
        """Load both at the same time. -> how long each took."""
        words = {f"MEZZOTINT_{name.upper()}": value for name, value in setup.config.items()}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # the engine's own
        server = ServerProcess(
            ["mezzotint", "serve"], self.data, words | {"CUDA_VISIBLE_DEVICES": visible}
        )
        self.stack.callback(_end, server)
        config = make(**setup.config).model_dump()
        self._engine = self.stack.enter_context(Engine(**config))
        engine_s = time.monotonic() - self.began
        server.wait_ready(_LOAD_S)
        self._server = server
        return {"engine_s": engine_s, "server_s": time.monotonic() - self.began}

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the engine has not started")
        return self._engine

    @property
    def server(self) -> ServerProcess:
        if self._server is None:
            raise RuntimeError("the server has not started")
        return self._server

    def rounds(self, most: int, until_s: float) -> Iterator[int]:
        """Up to `most`, at least one, none begun later than `until_s` after the start."""
        for number in range(most):
            if number and time.monotonic() - self.began > until_s:
                return
            yield number


def main() -> int:
    options = _options()
    setup = SHORT if options.short else FULL
    if options.precision is not None:
        setup = replace(setup, config=setup.config | {"precision": options.precision})
    if setup.config["device"] == "cuda":
        need_gpu()
    rows = list(measure(setup, options.out))
    return int(any("error" in row for row in rows))


def measure(setup: Setup, out: Path | None) -> Iterator[Row]:
    """Every part's row, which is printed and appended to `out` before the next part begins."""
    about = environment("bench.serve_gpu") | setup.config
    about |= {"side": setup.side, "steps": setup.steps}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides = Sides(Path(folder) / "data", stack)
        for name, part in PARTS.items():
            row = about | {"name": f"gpu {name}"} | _attempt(part, sides, setup)
            row["until_s"] = time.monotonic() - sides.began
            print(json.dumps(row), flush=True)
            append(out, row)
            yield row


def start(sides: Sides, setup: Setup) -> Row:
    """Load, and make pictures until nothing is done for the first time any more."""
    row = sides.start(setup)
    _bare_rate(sides.engine, setup, setup.warm)
    _rate(lambda number: _picture(sides.server, setup, number), setup.warm)
    return row | {"warm_s": time.monotonic() - sides.began - row["server_s"]}


def throughput(sides: Sides, setup: Setup) -> Row:
    """Saturated, by turns: the bare engine, the server, the server with looks."""
    bare: list[float] = []
    plain: list[float] = []
    looking: list[float] = []
    for _ in sides.rounds(setup.rounds, 0.65 * setup.limit_s):
        bare.append(_bare_rate(sides.engine, setup, setup.saturated))
        plain.append(_rate(lambda n: _picture(sides.server, setup, n), setup.saturated))
        looking.append(_rate(lambda n: _stream(sides.server, setup, n), setup.saturated))
    shares = [served / alone for served, alone in zip(plain, bare, strict=True)]
    costs = [1.0 - looks / served for looks, served in zip(looking, plain, strict=True)]
    share, cost = statistics.median(shares), statistics.median(costs)
    return {
        "bare_per_s": bare,
        "server_per_s": plain,
        "server_with_looks_per_s": looking,
        "server_of_bare": share,
        "looks_cost": cost,
        "limits": "98 % of the bare engine; looks 2 %",
        "met": share >= 0.98 and cost <= 0.02,
    }


def overhead(sides: Sides, setup: Setup) -> Row:
    """One picture at a time, by turns; the server's is base64 in JSON, the engine's a file."""
    bare_ms, served_ms = [], []
    for number in sides.rounds(setup.single, 0.85 * setup.limit_s):
        asked = _request(setup, number)
        bare_ms.append(_timed_ms(lambda asked=asked: sides.engine.submit(asked).result(_LIMIT_S)))
        served_ms.append(_timed_ms(lambda number=number: _picture(sides.server, setup, number)))
    added = [a - b for a, b in zip(served_ms, bare_ms, strict=True)]
    return {
        "pictures": len(added),
        "bare_ms": statistics.median(bare_ms),
        "server_ms": statistics.median(served_ms),
        "added_p50_ms": statistics.median(added),
        "added_max_ms": max(added),
        "limits": "p50 20 ms",
        "met": statistics.median(added) <= 20.0,
    }


def first_look(sides: Sides, setup: Setup) -> Row:
    """From the start of denoising, as the server's spans tell it, to the first look's arrival."""
    first_ms, step_ms = [], []
    for number in sides.rounds(setup.single, setup.limit_s):
        seconds, timings = _stream(sides.server, setup, number)
        first_ms.append(seconds * 1e3 - timings["queue_ms"] - timings["text_encode_ms"])
        step_ms.append(timings["denoise_ms"] / setup.steps)
    return {
        "pictures": len(first_ms),
        "first_look_p50_ms": statistics.median(first_ms),
        "first_look_max_ms": max(first_ms),
        "step_p50_ms": statistics.median(step_ms),  # there is no look before the first step's end
        "limits": "p50 150 ms",
        "met": statistics.median(first_ms) <= 150.0,
    }


PARTS: dict[str, Callable[[Sides, Setup], Row]] = {
    "start": start,
    "throughput": throughput,
    "overhead": overhead,
    "first look": first_look,
}


def _attempt(part: Callable[[Sides, Setup], Row], sides: Sides, setup: Setup) -> Row:
    try:
        return part(sides, setup)
    except Exception as error:  # the parts after it may work
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "met": False}


def _end(server: ServerProcess) -> None:
    if server.process.poll() is None:
        server.kill()


def _request(setup: Setup, number: int) -> Request:
    side = setup.side
    return Request(prompt=prompt(number), width=side, height=side, steps=setup.steps, seed=number)


def _bare_rate(engine: Engine, setup: Setup, count: int) -> float:
    """Pictures a second, between the first that is finished and the last."""
    ends: list[float] = []
    tickets = engine.submit_all([_request(setup, number) for number in range(count)])
    for ticket in tickets:
        ticket.future.add_done_callback(lambda _: ends.append(time.monotonic()))
    for ticket in tickets:
        ticket.result(_LIMIT_S)
    return _per_s(ends, count)


def _rate(make: Callable[[int], object], count: int) -> float:
    """As _bare_rate, with callers that keep the server's queue filled."""
    ends: list[float] = []

    def one(number: int) -> None:
        make(number)
        ends.append(time.monotonic())

    with ThreadPoolExecutor(_CALLERS) as pool:
        list(pool.map(one, range(count)))
    return _per_s(ends, count)


def _per_s(ends: list[float], count: int) -> float:
    while len(ends) < count:  # a callback may come a little after its result
        time.sleep(0.001)
    return (count - 1) / max(max(ends) - min(ends), 1e-9)


def _timed_ms(make: Callable[[], object]) -> float:
    start = time.perf_counter()
    make()
    return (time.perf_counter() - start) * 1e3


def _picture(server: ServerProcess, setup: Setup, number: int) -> None:
    with _post(server, setup, number) as answer:
        answer.read()


def _stream(server: ServerProcess, setup: Setup, number: int) -> tuple[float, Row]:
    """Read a stream of looks. -> seconds to the first look; the timings of the answer."""
    start, first, timings = time.monotonic(), None, None
    looks = {"stream": True, "partial_images": 3, "return_timings": True}
    with _post(server, setup, number, **looks) as answer:
        for line in answer:
            if first is None and line.startswith(b"data:") and b"partial_image" in line:
                first = time.monotonic() - start
            if line.startswith(b"data:") and b'"image_generation.completed"' in line:
                timings = json.loads(line[5:])["timings"]
    if first is None or timings is None:
        raise RuntimeError("the stream held no look at the picture, or no picture")
    return first, timings


@contextmanager
def _post(
    server: ServerProcess, setup: Setup, number: int, **more: Any
) -> Iterator[http.client.HTTPResponse]:
    size = f"{setup.side}x{setup.side}"
    body = {"prompt": prompt(number), "size": size, "steps": setup.steps, "seed": number} | more
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_LIMIT_S)
    headers = {"Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/images/generations", json.dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"the server answered {answer.status}: {answer.read()[:300]!r}")
        yield answer
    finally:
        connection.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.serve_gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    parser.add_argument("--short", action="store_true", help="the bundled model on the CPU")
    parser.add_argument("--precision", choices=("bf16", "fp8"), help="auto, if it is not given")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
