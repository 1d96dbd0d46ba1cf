"""kill -9 of the server and of its worker at random moments: no acknowledged job is lost."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from bench.faults.client import Submitter, call
from bench.server import ServerProcess, start_pretending

_TIMES = 200
_EVERY_S = 0.1
_LAST_S = 300
_ENDS = ("done", "failed", "cancelled")


def run(folder: Path, short: bool) -> dict[str, Any]:
    """Kill again and again under load, then let a last server finish what was acknowledged."""
    times = 4 if short else _TIMES
    rng = random.Random(8)  # noqa: S311 - the same moments every time
    data = folder / "data"
    data.mkdir()
    servers = [_start(data)]
    submitter = Submitter(lambda: servers[-1].url, _EVERY_S)
    killed: Counter[str] = Counter()
    try:
        for number in range(times):
            what = "server" if number % 2 == 0 else "worker"
            time.sleep(rng.uniform(0.0, 2.0))
            killed[what] += _kill(servers, what, data)
    finally:
        submitter.stop()
    try:
        ends = _ends(servers[-1].url, submitter.acknowledged)
        code, _ = servers[-1].end()
    finally:
        if servers[-1].process.poll() is None:
            servers[-1].kill()
    faults = _check(data, submitter.acknowledged)
    lost = len(submitter.acknowledged) - ends["done"] - ends["failed"]
    return {
        "kills": sum(killed.values()),
        "of_server": killed["server"],
        "of_worker": killed["worker"],
        "acknowledged": len(submitter.acknowledged),
        "done": ends["done"],
        "given_up": ends["failed"],  # and told so: three servers died while they were running
        "lost": lost,
        "strange_answers": len(submitter.strange),
        "faults_on_disk": faults,
        "exit_code": code,
        "limits": "none lost, integrity check passes, every file whole",
        "met": lost == 0 and not faults and not submitter.strange and code == 0,
    }


def _start(data: Path) -> ServerProcess:
    return start_pretending(data, "--max-queue", "200", picture_s=0.05, side=64)


def _kill(servers: list[ServerProcess], what: str, data: Path) -> int:
    """Kill what there is of that. -> how many died."""
    server = servers[-1]
    if what == "server":
        server.kill()
        servers.append(_start(data))
        return 1
    pids = server.workers()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def _ends(url: str, acknowledged: dict[str, int]) -> Counter[str]:
    """Wait until every job is over. -> how many ended how; a done one with all its pictures."""
    ends: Counter[str] = Counter()
    limit = time.monotonic() + _LAST_S
    for id, num in acknowledged.items():
        while True:
            status, job = call(f"{url}/api/v1/jobs/{id}")
            if status == 200 and job["state"] in _ENDS:
                whole = job["state"] != "done" or len(job["images"]) == num
                ends[job["state"] if whole else "incomplete"] += 1
                break
            if status == 404 or time.monotonic() > limit:
                ends["lost"] += 1
                break
            time.sleep(0.05)
    return ends


def _check(data: Path, acknowledged: dict[str, int]) -> list[str]:
    """What is wrong with the database and the files, in words."""
    with closing(sqlite3.connect(data / "history.sqlite3")) as database:
        faults = [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
        faults += [f"foreign key: {row}" for row in database.execute("PRAGMA foreign_key_check")]
        rows = database.execute("SELECT file, sha256, bytes FROM images").fetchall()
        ids = {row[0] for row in database.execute("SELECT id FROM jobs")}
    faults += [f"no row of job {id}" for id in acknowledged if id not in ids]
    for name, digest, size in rows:
        path = data / "outputs" / name
        if not path.exists():
            faults.append(f"no file {name}")
        elif path.stat().st_size != size or _digest(path) != digest:
            faults.append(f"another file {name}")
    return faults


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
