"""A client of the native API that does what a careful one does: it repeats until it is answered."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_LIMIT_S = 60  # a write may wait for others, which each wait for a locked database


def call(url: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """GET, or POST of JSON. -> status, JSON; (0, None) when nothing comes back."""
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(  # noqa: S310 - our own server
        url, data, {"Content-Type": "application/json"} | headers
    )
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
    except (OSError, ValueError):  # no server, or half an answer
        return 0, None


@dataclass(slots=True)
class Submitter:
    """Asks for jobs in a thread of its own until it is stopped."""

    url: Callable[[], str]  # where the server is now
    every_s: float
    name: str = "key"  # begins its Idempotency-Keys
    acknowledged: dict[str, int] = field(default_factory=dict)  # job id -> pictures
    strange: list[tuple[int, Any]] = field(default_factory=list)  # answers that should not be
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Ask for no more; the last is asked until it is answered."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng = random.Random(8)  # noqa: S311 - the same jobs every time
        number = 0
        while not self._stop.wait(self.every_s):
            body = {"prompt": f"number {number}", "seed": number, "n": rng.choice((1, 1, 1, 3))}
            self._ask(f"{self.name}-{number}", body)
            number += 1

    def _ask(self, key: str, body: dict[str, Any]) -> None:
        while True:
            status, answer = call(f"{self.url()}/api/v1/jobs", body, Idempotency_Key=key)
            if status == 202:
                self.acknowledged[answer["id"]] = body["n"]
                return
            if status not in (0, 429, 503):
                self.strange.append((status, answer))
                return
            time.sleep(0.1)
