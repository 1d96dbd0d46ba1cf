"""The server on a GPU beside the bare engine: `python -m bench.serve_gpu --out rows.jsonl`.

Random weights at Z-Image-Turbo's size, 1024 px, 8 steps. Four figures, each from one machine in one
run: throughput when saturated as a share of the bare engine's, what the server adds to one picture,
how soon after its first step begins a caller sees the first look at it, what looks cost. Needs an
NVIDIA GPU with 80 GB (engine and server stand side by side, and take turns) and what the extra
`serve` installs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.environment import environment
from bench.rows import append
from bench.server import ServerProcess, drawing
from mezzotint import Engine, Request
from mezzotint.measure.workload import prompt

SIDE, STEPS = 1024, 8
_WEIGHTS = "z-image-turbo"
_MEMORY = "32GiB"  # of each of the two
_SATURATED = 16  # pictures of one saturated run
_CALLERS = 8
_SINGLE = 8  # pictures one after the other
_LIMIT_S = 120

Row = dict[str, Any]


def main() -> int:
    options = _options()
    if not torch.cuda.is_available():
        print("no NVIDIA GPU is visible to torch: run this on a machine with one", file=sys.stderr)
        return 1
    about = environment("bench.serve_gpu") | {"name": "gpu", "side": SIDE, "steps": STEPS}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, _engine() as engine:
        _bare_rate(engine, 4)  # graphs are captured and clocks are up
        with _server(Path(folder) / "data") as server:
            _rate(lambda number: _picture(server, number), 4)
            row = _throughput(engine, server) | _single(engine, server) | _looks(server)
    row["met"] = (
        row["server_of_bare"] >= 0.98
        and row["looks_cost"] <= 0.02
        and row["first_look_p50_ms"] <= 150.0
    )
    row["run_s"] = time.monotonic() - start
    print(json.dumps(row, indent=1))
    append(options.out, about | row)
    return 0


@contextmanager
def _engine() -> Iterator[Engine]:
    with Engine(random_weights=_WEIGHTS, device="cuda", memory=_MEMORY) as engine:
        yield engine


@contextmanager
def _server(data: Path) -> Iterator[ServerProcess]:
    environment = {"MEZZOTINT_RANDOM_WEIGHTS": _WEIGHTS, "MEZZOTINT_MEMORY": _MEMORY}
    with drawing(data, "--device", "cuda", **environment) as server:
        yield server


def _throughput(engine: Engine, server: ServerProcess) -> Row:
    """Bare, server, server with looks, bare again: a drift of the clock shows between the bares."""
    before = _bare_rate(engine, _SATURATED)
    plain = _rate(lambda number: _picture(server, number), _SATURATED)
    looking = _rate(lambda number: _stream(server, number), _SATURATED)
    again = _rate(lambda number: _picture(server, number), _SATURATED)
    after = _bare_rate(engine, _SATURATED)
    bare, served = (before + after) / 2, (plain + again) / 2
    return {
        "bare_per_s": [before, after],
        "server_per_s": [plain, again],
        "server_with_looks_per_s": looking,
        "server_of_bare": served / bare,
        "looks_cost": 1.0 - looking / served,
        "limits": "98 % of the bare engine; looks 2 %; first look 150 ms",
    }


def _single(engine: Engine, server: ServerProcess) -> Row:
    """One picture at a time, by turns; the server's is base64 in JSON, the engine's a file."""
    bare_ms, served_ms = [], []
    for number in range(_SINGLE):
        bare_ms.append(_timed_ms(lambda number=number: engine.submit(_request(number)).result()))
        served_ms.append(_timed_ms(lambda number=number: _picture(server, number)))
    bare, served = statistics.median(bare_ms), statistics.median(served_ms)
    added = [a - b for a, b in zip(served_ms, bare_ms, strict=True)]
    return {
        "bare_ms": bare,
        "server_ms": served,
        "added_p50_ms": statistics.median(added),
        "added_max_ms": max(added),
    }


def _looks(server: ServerProcess) -> Row:
    """From the start of denoising, as the server's spans tell it, to the first look's arrival."""
    seconds = [_stream(server, number) for number in range(_SINGLE)]
    first_ms = [first * 1e3 - before_ms for first, before_ms in seconds]
    return {"first_look_p50_ms": statistics.median(first_ms), "first_look_max_ms": max(first_ms)}


def _request(number: int) -> Request:
    return Request(prompt=prompt(number), width=SIDE, height=SIDE, steps=STEPS, seed=number)


def _bare_rate(engine: Engine, count: int) -> float:
    """Pictures a second, between the first that is finished and the last."""
    ends: list[float] = []
    tickets = engine.submit_all([_request(number) for number in range(count)])
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
    return (count - 1) / (max(ends) - min(ends))


def _timed_ms(make: Callable[[], object]) -> float:
    start = time.perf_counter()
    make()
    return (time.perf_counter() - start) * 1e3


def _picture(server: ServerProcess, number: int) -> None:
    with _post(server, number) as answer:
        body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}: {body[:300]!r}")


def _stream(server: ServerProcess, number: int) -> tuple[float, float]:
    """Read a stream of looks. -> seconds to the first look; ms before denoising began."""
    start, first = time.monotonic(), None
    with _post(server, number, stream=True, partial_images=3, return_timings=True) as answer:
        for line in answer:
            if first is None and line.startswith(b"data:") and b"partial_image" in line:
                first = time.monotonic() - start
            if line.startswith(b"data:") and b'"image_generation.completed"' in line:
                timings = json.loads(line[5:])["timings"]
    if first is None:
        raise RuntimeError("the stream held no look at the picture")
    return first, timings["queue_ms"] + timings["text_encode_ms"]


@contextmanager
def _post(server: ServerProcess, number: int, **more: Any) -> Iterator[http.client.HTTPResponse]:
    body = {"prompt": prompt(number), "size": f"{SIDE}x{SIDE}", "steps": STEPS, "seed": number}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_LIMIT_S)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(
            "POST", "/v1/images/generations", json.dumps(body | more), headers=headers
        )
        yield connection.getresponse()
    finally:
        connection.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.serve_gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="append a JSON row to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
