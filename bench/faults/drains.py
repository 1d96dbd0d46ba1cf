"""SIGTERM under load: what is under way is finished, what waits is kept, the exit is clean."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.faults.client import Submitter, call
from bench.load import Answer, Caller, open_loop
from bench.server import ServerProcess, start_pretending

_TIMES = 20
_LIMIT_S = 30.0
_CALLS = 6  # of clients that wait for their pictures
_WAIT_S = 120


def run(folder: Path, short: bool) -> dict[str, Any]:
    """End a busy server; the next one on its data makes the jobs that were left."""
    times = 1 if short else _TIMES
    rng = random.Random(8)  # noqa: S311 - the same moments every time
    data = folder / "data"
    data.mkdir()
    answers: Counter[int] = Counter()
    ends: list[tuple[int, float]] = []
    acknowledged: dict[str, int] = {}
    for number in range(times):
        server = start_pretending(data, picture_s=0.2, side=64)
        submitter = Submitter(lambda server=server: server.url, 0.1, f"drain-{number}")
        waiting = Waiting(server)
        time.sleep(rng.uniform(0.3, 1.0))
        submitter.stop()
        ends.append(server.end())
        answers.update(answer.status for answer in waiting.answers())
        acknowledged |= submitter.acknowledged
    unfinished = _unfinished(data, acknowledged)
    slowest_s = max(seconds for _, seconds in ends)
    clean = all(code == 0 for code, _ in ends)
    return {
        "drains": times,
        "slowest_s": slowest_s,
        "clean_exits": sum(code == 0 for code, _ in ends),
        "answered": answers[200],
        "told_to_come_again": answers[503],
        "cut_off": sum(num for status, num in answers.items() if status not in (200, 503)),
        "jobs": len(acknowledged),
        "jobs_unfinished": unfinished,
        "limits": "30 s, exit 0, no call cut off, no job lost",
        "met": clean
        and slowest_s <= _LIMIT_S
        and set(answers) <= {200, 503}
        and answers[200] > 0
        and unfinished == 0,
    }


class Waiting:
    """Calls that wait for their pictures, from a thread."""

    def __init__(self, server: ServerProcess) -> None:
        self._answers: list[Answer] = []
        self._thread = threading.Thread(target=self._run, args=(server.port,))
        self._thread.start()

    def answers(self) -> list[Answer]:
        """All answers, once they are there."""
        self._thread.join()
        return self._answers

    def _run(self, port: int) -> None:
        due_s = [0.05 * number for number in range(_CALLS)]
        body = {"prompt": "a red apple"}
        self._answers = asyncio.run(open_loop(Caller(port), due_s, lambda _: body))


def _unfinished(data: Path, acknowledged: dict[str, int]) -> int:
    """Let a last server work. -> jobs that are not done then."""
    server = start_pretending(data, picture_s=0.01, side=64)
    try:
        end = time.monotonic() + _WAIT_S
        left = set(acknowledged)
        while left and time.monotonic() < end:
            left = {i for i in left if call(f"{server.url}/api/v1/jobs/{i}")[1]["state"] != "done"}
            time.sleep(0.1)
        return len(left)
    finally:
        server.kill()
