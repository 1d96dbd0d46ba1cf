"""A history that cannot be written: pictures are still made, and what is wrong is told.

A database that another program holds, a disk that is full, a folder that became read-only. The
last two need a small disk of their own, and so the rights to mount one; without them only the
first runs.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from bench.faults.client import call
from bench.faults.streams import Listener
from bench.server import ServerProcess, pretending

_DISK = "size=24m"
_WAIT_S = 60.0
_LASTS_S = 7.0  # longer than a writer waits for another program (5 s)
_ENDS = ("done", "failed", "cancelled")

Trouble = Callable[[Path], AbstractContextManager[None]]


def run(folder: Path, short: bool) -> dict[str, Any]:
    """Trouble under a running server, one kind after the other; then everything works again."""
    results = {"locked": _through(folder / "locked", _locked)}
    if not short and _may_mount(folder):
        for name, trouble, place in (("full", _full, "."), ("read_only", _read_only, "outputs")):
            with _disk(folder / name / place):
                results[name] = _through(folder / name, trouble)
    return {
        **results,
        "limits": "calls answered; jobs made, or refused or failed with the reason; then all works",
        "met": all(result["met"] for result in results.values()),
    }


def _through(data: Path, trouble: Trouble) -> dict[str, Any]:
    data.mkdir(exist_ok=True)
    with pretending(data, picture_s=0.5, side=256) as server:
        listener = Listener(server.port, seed=None)
        _, before = call(f"{server.url}/api/v1/jobs", _job(1))
        with trouble(data):
            start = time.monotonic()
            answered, _ = call(f"{server.url}/v1/images/generations", _call())
            asked, during = call(f"{server.url}/api/v1/jobs", _job(2))
            _wait(lambda: time.monotonic() - start >= _LASTS_S)
        ends = [_end(server, job["id"]) for job in (before, during) if job and "id" in job]
        _, after = call(f"{server.url}/api/v1/jobs", _job(3))
        last = _end(server, after["id"])
        listener.stop()
    told = [text for text in listener.events.values() if b"warning" in text or b"failed" in text]
    reasons = [job["error"] for job in ends if job["state"] == "failed"]
    refusal = None if asked == 202 else during["error"]["message"] if during else "no answer"
    return {
        "call_in_trouble": answered,
        "job_in_trouble": asked,
        "refusal": refusal,
        "jobs": [job["state"] for job in ends],
        "reasons": reasons,
        "told": len(told),
        "job_afterwards": last["state"],
        "met": answered == 200
        and asked in (202, 503)
        and (refusal is None or "history" in refusal)
        and all(reasons)
        and bool(told or refusal)
        and last["state"] == "done",
    }


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Another program writes for a long time."""
    with closing(sqlite3.connect(data / "history.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def _full(data: Path) -> Iterator[None]:
    """Not a block is free."""
    filler = data / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _read_only(data: Path) -> Iterator[None]:
    """The folder of pictures takes no new ones, as after an error of its disk."""
    _mount("-o", "remount,ro", str(data / "outputs"))
    try:
        yield
    finally:
        _mount("-o", "remount,rw", str(data / "outputs"))


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    """A small disk, mounted there."""
    place.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", _DISK, "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _may_mount(folder: Path) -> bool:
    if os.geteuid() != 0:
        return False
    try:
        with _disk(folder / "trial"):
            return True
    except subprocess.CalledProcessError:  # a container without the right
        return False


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _job(seed: int) -> dict[str, Any]:
    return {"prompt": "a red apple", "seed": seed, "n": 4}


def _call() -> dict[str, Any]:
    return {"prompt": "a red apple", "size": "64x64"}


def _end(server: ServerProcess, id: str) -> dict[str, Any]:
    """A job once it is over."""
    found: dict[str, Any] = {}

    def over() -> bool:
        status, job = call(f"{server.url}/api/v1/jobs/{id}")
        found.update(job if status == 200 else {})
        return found.get("state") in _ENDS

    _wait(over)
    return found


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_S
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("it did not come to an end")
        pause.wait(0.05)
