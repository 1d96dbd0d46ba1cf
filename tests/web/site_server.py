"""A real server for the page's tests: the bundled model on the CPU, in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
LIMIT_S = 60


class Site:
    """A server process that may be killed and started again at the same address."""

    def __init__(self, folder: Path, *arguments: str, key: str | None = None) -> None:
        self.folder = folder
        self._arguments = arguments
        self._key = key
        self._port = 0
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers; the model may still load."""
        own = {name: value for name, value in os.environ.items() if "MEZZOTINT" not in name}
        environment = own | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        if self._key is not None:
            environment["MEZZOTINT_API_KEY"] = self._key
        where = ["--port", str(self._port), "--data-dir", str(self.folder)]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mezzotint", "serve", *where, *self._arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=self.folder,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip().rpartition(" ")[2]
        assert self.url.startswith("http"), (self.folder / "server.log").read_text()
        self._port = int(self.url.rpartition(":")[2])

    def wait_ready(self) -> None:
        """Wait until it can make pictures."""
        until(lambda: self._status() == 200)

    def kill(self) -> None:
        """End it as a power cut would: no signal that it could hear."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it well."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT_S)

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Call the API. -> its JSON, None for an empty answer."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        answer = httpx2.request(
            method, self.url + path, json=body, headers=headers, timeout=LIMIT_S
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs."""
        found: list[dict[str, Any]] = self.call("GET", "/api/v1/jobs?limit=200")["jobs"]
        return found

    def clear(self) -> None:
        """Cancel and delete all jobs with their pictures."""
        self.call("POST", "/api/v1/jobs/cancel")
        until(lambda: all(job["ended_at"] is not None for job in self.jobs()))
        while jobs := self.jobs():
            for job in jobs:
                self.call("DELETE", f"/api/v1/jobs/{job['id']}")

    def make(self, prompt: str, **choices: Any) -> dict[str, Any]:
        """Make pictures through the API and wait for them. -> the job."""
        job = self.call("POST", "/api/v1/jobs", {"prompt": prompt, "steps": 2, **choices})
        address = f"/api/v1/jobs/{job['id']}"
        until(lambda: self.call("GET", address)["ended_at"] is not None)
        made: dict[str, Any] = self.call("GET", address)
        assert made["state"] == "done", made
        return made

    def _status(self) -> int:
        try:
            return httpx2.get(f"{self.url}/ready", timeout=LIMIT_S).status_code
        except httpx2.HTTPError:
            return 0


def until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
