"""The server under load: `python -m bench.serve NAME... [--short] --out bench/results/serve.jsonl`.

A real HTTP server, a real worker process, a real database and real PNG files around a device that
pretends: it takes 50 ms for a picture, one after the other, and gives 1024 px. What is measured is
therefore everything but the drawing. `pictures` draws, with the bundled model.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from bench import promises
from bench.load import Answer, Caller, closed_loop, late_ms, open_loop, quantile_ms
from bench.memory import sampling
from bench.server import ServerProcess, drawing, get, pretending, send

PICTURE_S = 0.05
_PEAK_CALLERS = 8
_LEAST, _MOST = 4, 16  # steps
_WAIT_TARGET_S = 2.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How long a measurement runs."""

    overhead: int  # pictures
    peak_s: float
    overload_s: float
    requests: int
    jobs: int
    pictures: int
    small: int  # pictures, until memory is surely flat and beyond
    capacity: int  # pictures, to see how many can be made
    adaptive_s: float


SHORT = Size(
    overhead=40,
    peak_s=3,
    overload_s=6,
    requests=400,
    jobs=40,
    pictures=12,
    small=60,
    capacity=12,
    adaptive_s=10,
)
FULL = Size(
    overhead=1000,
    peak_s=30,
    overload_s=300,
    requests=50_000,
    jobs=5000,
    pictures=1000,
    small=15_000,
    capacity=60,
    adaptive_s=90,
)


def main() -> int:
    measures = {name: partial(_sized, measure) for name, measure in MEASUREMENTS.items()}
    return promises.run("bench.serve", __doc__, measures)


def _sized(measure: Callable[[Path, Size], Row], folder: Path, short: bool) -> Row:
    return measure(folder / "data", SHORT if short else FULL)


def overhead(data: Path, size: Size) -> Row:
    """One caller: what the server adds to the device's time, the file and its base64 included.

    The time is the one that the device says it took: a machine that is shared wakes it late.
    """
    with pretending(data, picture_s=PICTURE_S) as server:
        _closed(server, 1, 5, body)
        before_s = server.cpu_s()
        answers = _closed(server, 1, size.overhead, _timed, _device_ms)
        cpu_s = server.cpu_s() - before_s
    added = [answer.latency_s * 1e3 - answer.read for answer in answers]
    cuts = statistics.quantiles(added, n=100, method="inclusive")
    made = _all_made(answers)
    return {
        "pictures": len(answers),
        "all_made": made,
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
        "device_p50_ms": statistics.median(answer.read for answer in answers),
        "cpu_ms": cpu_s * 1e3 / len(answers),  # of server and worker: what no neighbour changes
        "limits": "p50 20 ms, p99 40 ms",
        "met": made and cuts[49] <= 20 and cuts[98] <= 40,
    }


def overload(data: Path, size: Size) -> Row:
    """Ten times as many as can be made: the others are told at once, and the work goes on."""
    with pretending(data, picture_s=PICTURE_S) as server:
        peak = _rate(_closed(server, _PEAK_CALLERS, int(size.peak_s / PICTURE_S), body))
        with sampling(server) as memory:
            due_s = [i / (10 * peak) for i in range(int(size.overload_s * 10 * peak))]
            answers = _open(server, due_s, body)
    refused = [answer for answer in answers if answer.status == 429]
    made = [answer for answer in answers if answer.status == 200]
    within = [answer for answer in made if answer.ended_s <= size.overload_s]
    goodput = len(within) / size.overload_s / peak
    wait_ms, growth = quantile_ms(refused, 99), memory.growth()
    met = len(made) + len(refused) == len(answers)
    met = met and wait_ms <= 50 and goodput >= 0.95 and growth <= 0.05
    return {
        "peak_per_s": peak,
        "seconds": size.overload_s,
        "requests": len(answers),
        "made": len(made),
        "refused": len(refused),
        "neither": len(answers) - len(made) - len(refused),
        "refused_p50_ms": quantile_ms(refused, 50),
        "refused_p99_ms": wait_ms,
        "sent_late_p99_ms": late_ms(refused, 99),  # the load generator's own share of it
        "goodput_of_peak": goodput,
        "rss_mib": memory.last_bytes / 2**20,
        "rss_growth": growth,
        "limits": "429 p99 50 ms, goodput 95 % of peak, memory + 5 %",
        "met": met,
    }


def requests(data: Path, size: Size) -> Row:
    """Many small pictures: memory may not grow with their number."""
    with (
        pretending(data, picture_s=0.002, side=64, slots=8) as server,
        sampling(server) as memory,
    ):
        answers = _closed(server, _PEAK_CALLERS, size.requests, body)
    slope = memory.slope_bytes([answer.ended_s for answer in answers])
    return {
        "requests": len(answers),
        "all_made": _all_made(answers),
        "per_s": _rate(answers),
        "p50_ms": quantile_ms(answers, 50),
        "p99_ms": quantile_ms(answers, 99),
        "rss_mib": memory.last_bytes / 2**20,
        "rss_bytes_per_request": slope,
        "threads_and_files": memory.handles,
        "limits": "0.2 KB a request",
        "met": _all_made(answers) and slope is not None and slope < 200,
    }


def jobs(data: Path, size: Size) -> Row:
    """Jobs that are kept: each is on the disk before it is answered, and its picture after it."""
    with pretending(data, picture_s=0.002, side=64, slots=8) as server:
        before_s = server.cpu_s()
        with sampling(server) as memory:
            answers = asyncio.run(_until_accepted(Caller(server.port, "/api/v1/jobs"), size.jobs))
            done = _until_done(server, size.jobs)
        cpu_s = server.cpu_s() - before_s
    file_bytes = sum(file.stat().st_size for file in data.glob("history.sqlite3*"))
    return {
        "jobs": len(answers),
        "done": done,
        "per_s": _rate(answers, 202),
        "accepted_p50_ms": quantile_ms(answers, 50),
        "accepted_p99_ms": quantile_ms(answers, 99),
        "cpu_ms": cpu_s * 1e3 / len(answers),
        "database_bytes_per_job": file_bytes / len(answers),
        "rss_mib": memory.last_bytes / 2**20,
        "rss_bytes_per_request": memory.slope_bytes([answer.ended_s for answer in answers]),
        "limits": "all done",
        "met": done == size.jobs,
    }


def pictures(data: Path, size: Size) -> Row:
    """Real pictures of the bundled model, in two steps each."""
    with drawing(data, "--device", "cpu") as server, sampling(server) as memory:
        answers = _closed(server, 2, size.pictures, lambda i: body(i) | {"steps": 2})
    return {
        "pictures": len(answers),
        "all_made": _all_made(answers),
        "per_s": _rate(answers),
        "p50_ms": quantile_ms(answers, 50),
        "p99_ms": quantile_ms(answers, 99),
        "rss_mib": memory.last_bytes / 2**20,
        "rss_bytes_per_request": memory.slope_bytes([answer.ended_s for answer in answers]),
        "limits": "all made",
        "met": _all_made(answers),
    }


def memory(data: Path, size: Size) -> Row:
    """Real pictures, as small as can be, until all that is kept of them is full, and then more.

    The last thing to be full is the worker's names of 8192 pictures; the dashboard keeps ten
    minutes.
    """
    full, full_s = (9000, 600.0) if size.small > 9000 else (size.small // 2, 0.0)
    small = {"steps": 1, "size": "96x96"}
    with drawing(data, "--device", "cpu") as server, sampling(server) as memory:
        answers = _closed(server, 4, size.small, lambda i: body(i) | small)
    ended_s = sorted(answer.ended_s for answer in answers)
    since_s = max(ended_s[full], full_s)
    slope = memory.slope_bytes(ended_s, since_s)
    return {
        "pictures": len(answers),
        "all_made": _all_made(answers),
        "per_s": _rate(answers),
        "full_after_s": since_s,
        "rss_mib": memory.last_bytes / 2**20,
        "rss_mib_when_full": memory.at_bytes(since_s) / 2**20,
        "rss_bytes_per_request": slope,
        "limits": "0.2 KB a request once all is full",
        "met": _all_made(answers) and slope is not None and slope < 200,
    }


def adaptive(data: Path, size: Size) -> Row:
    """Half as many pictures again as can be made: with fixed steps, and with a range of them."""
    row: Row = {}
    with drawing(data, "--device", "cpu") as server:
        send("PATCH", f"{server.url}/api/v1/settings", {"wait_target_s": _WAIT_TARGET_S})
        capacity = _rate(_closed(server, 4, size.capacity, _with_steps(_MOST)))
        rng = random.Random(8)  # noqa: S311 - the same arrivals for both
        due_s = list(itertools.accumulate(rng.expovariate(1.5 * capacity) for _ in range(10_000)))
        due_s = [due for due in due_s if due < size.adaptive_s]
        for name, steps in (("fixed", _MOST), ("range", {"min": _LEAST, "max": _MOST})):
            answers = _open(server, due_s, _with_steps(steps), _steps_given)
            made = [answer for answer in answers if answer.status == 200]
            row[name] = {
                "p50_s": quantile_ms(made, 50) / 1e3,
                "p95_s": quantile_ms(made, 95) / 1e3,
                "mean_steps": statistics.fmean(answer.read for answer in made),
                "fewest_steps": min(answer.read for answer in made),
                "refused": sum(answer.status == 429 for answer in answers) / len(answers),
            }
    return row | {
        "capacity_per_s": capacity,
        "pictures": len(due_s),
        "wait_target_s": _WAIT_TARGET_S,
        "limits": "p95 below that of fixed steps, never outside 4 to 16 steps",
        "met": row["range"]["p95_s"] < row["fixed"]["p95_s"]
        and row["range"]["fewest_steps"] >= _LEAST,
    }


MEASUREMENTS: dict[str, Callable[[Path, Size], Row]] = {
    "overhead": overhead,
    "overload": overload,
    "requests": requests,
    "jobs": jobs,
    "pictures": pictures,
    "memory": memory,
    "adaptive": adaptive,
}


def body(number: int) -> dict[str, Any]:
    """A request; the seed tells pictures apart."""
    return {"prompt": "a red apple on green grass", "seed": number}


def _with_steps(steps: object) -> Callable[[int], object]:
    return lambda number: body(number) | {"steps": steps}


def _steps_given(answer: bytes) -> float:
    return float(orjson.loads(answer)["steps"])


def _timed(number: int) -> dict[str, Any]:
    return body(number) | {"return_timings": True}


def _device_ms(answer: bytes) -> float:
    timings = orjson.loads(answer)["timings"]
    return float(timings["text_encode_ms"] + timings["denoise_ms"])


def _closed(
    server: ServerProcess,
    callers: int,
    count: int,
    make: Callable[[int], object],
    read: Callable[[bytes], float] = len,
) -> list[Answer]:
    return asyncio.run(closed_loop(Caller(server.port), callers, count, make, read))


def _open(
    server: ServerProcess,
    due_s: list[float],
    make: Callable[[int], object],
    read: Callable[[bytes], float] = len,
) -> list[Answer]:
    return asyncio.run(open_loop(Caller(server.port), due_s, make, read))


async def _until_accepted(caller: Caller, count: int) -> list[Answer]:
    """Ask for jobs by four callers; whoever is told to come again does. -> the accepted."""
    accepted: list[Answer] = []
    start = time.monotonic()

    async def ask(number: int) -> None:
        while True:
            due = time.monotonic() - start
            status, _ = await caller.post(body(number))
            if status == 202:
                accepted.append(Answer(due, time.monotonic() - start, status, 0.0))
                return
            await asyncio.sleep(0.05)

    async def call(first: int) -> None:
        for number in range(first, count, 4):
            await ask(number)

    await asyncio.gather(*(call(first) for first in range(4)))
    return accepted


def _until_done(server: ServerProcess, count: int) -> int:
    """Wait until no job waits or runs. -> how many are done."""
    url = f"{server.url}/api/v1/jobs"
    while any(get(f"{url}?state={state}&limit=1")["jobs"] for state in ("queued", "running")):
        time.sleep(0.2)
    done, cursor = 0, ""
    while done < count:
        page = get(f"{url}?state=done&limit=200{cursor}")
        done += len(page["jobs"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    return done


def _rate(answers: list[Answer], status: int = 200) -> float:
    """Pictures a second."""
    ends = [answer.ended_s for answer in answers if answer.status == status]
    return len(ends) / max(ends)


def _all_made(answers: list[Answer]) -> bool:
    return all(answer.status == 200 for answer in answers)


if __name__ == "__main__":
    sys.exit(main())
