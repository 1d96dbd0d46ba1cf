"""A stream of events that is cut again and again: a client that resumes loses none."""

from __future__ import annotations

import random
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.faults.client import Submitter
from bench.server import pretending

_CUTS = 500
_SETTLE_S = 120
_REQUEST = "GET /api/v1/events HTTP/1.0\r\nHost: 127.0.0.1\r\n{last}\r\n"


def run(folder: Path, short: bool) -> dict[str, Any]:
    """One listener is cut at random bytes and resumes by Last-Event-ID; another never is."""
    cuts = 20 if short else _CUTS
    with pretending(folder / "data", picture_s=0.05, side=64) as server:
        whole = Listener(server.port, seed=None)
        cut = Listener(server.port, seed=8)
        _until(lambda: bool(whole.began and cut.began))
        submitter = Submitter(lambda: server.url, every_s=0.05)
        _until(lambda: cut.cuts >= cuts)
        submitter.stop()
        _until(lambda: whole.ends() == cut.ends() == len(submitter.acknowledged))
        whole.stop()
        cut.stop()
    since = max(whole.first_id, cut.first_id)
    expected = {id: text for id, text in whole.events.items() if id > since}
    got = {id: text for id, text in cut.events.items() if id > since}
    missing = len(expected.keys() - got.keys())
    different = sum(got[id] != text for id, text in expected.items() if id in got)
    return {
        "cuts": cut.cuts,
        "events": len(expected),
        "missing": missing,
        "different": different,
        "unknown": len(got.keys() - expected.keys()),
        "twice": cut.repeated,
        "out_of_order": cut.disorder,
        "snapshots_after_cuts": cut.snapshots - 1,
        "limits": "none missing, none twice",
        "met": expected.keys() == got.keys() and different == cut.repeated == cut.disorder == 0,
    }


@dataclass(slots=True, eq=False)
class Listener:
    """Reads events in a thread; with a seed it hangs up at random bytes and comes again."""

    port: int
    seed: int | None
    events: dict[int, bytes] = field(default_factory=dict)
    cuts: int = 0
    repeated: int = 0
    disorder: int = 0
    snapshots: int = 0
    first_id: int = 0
    began: bool = False
    _stop: bool = False
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def ends(self) -> int:
        """Jobs that were told to be over."""
        return sum(b"event: done" in text for text in list(self.events.values()))

    def stop(self) -> None:
        self._stop = True
        self._thread.join()

    def _run(self) -> None:
        rng = None if self.seed is None else random.Random(self.seed)  # noqa: S311
        last = None
        while not self._stop:
            limit = None if rng is None else rng.randrange(200, 6000)
            last = self._listen(last, limit)
            if rng is not None and not self._stop:
                self.cuts += 1
                time.sleep(rng.uniform(0.0, 0.1))

    def _listen(self, last: int | None, limit: int | None) -> int | None:
        """Listen until so many bytes have come. -> the id of the last whole event."""
        header = "" if last is None else f"Last-Event-ID: {last}\r\n"
        buffer, num = b"", 0
        with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
            connection.sendall(_REQUEST.format(last=header).encode())
            while not self._stop and (limit is None or num < limit):
                room = 4096 if limit is None else limit - num
                try:
                    part = connection.recv(min(room, 4096))
                except TimeoutError:
                    continue
                if not part:
                    break
                num += len(part)
                *blocks, buffer = (buffer + part).split(b"\n\n")
                for block in blocks:
                    last = self._note(block, last)
        return last

    def _note(self, block: bytes, last: int | None) -> int | None:
        # An event is a chunk of the answer: before it is the chunk's length, or the answer's head.
        lines = block[max(block.find(b"event: "), 0) :].split(b"\n")
        id = next((int(line[4:]) for line in lines if line.startswith(b"id: ")), None)
        if id is None:  # the head of the answer, or a comment that keeps it open
            return last
        self.began = True
        if b"event: snapshot" in lines:
            self.snapshots += 1
            self.first_id = self.first_id or id
            return id
        self.repeated += id in self.events
        self.disorder += last is not None and id <= last
        self.events[id] = b"\n".join(lines)
        return id


def _until(condition: Any) -> None:
    end = time.monotonic() + _SETTLE_S
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("the streams did not come to the same end")
        time.sleep(0.02)
