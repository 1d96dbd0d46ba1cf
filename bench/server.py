"""`mezzotint serve` as it is, but for workers that pretend to draw.

`python -m bench.server --port 0 --data-dir DIR ...`; what the workers pretend is a FakeDevice in
JSON in $FAKE_DEVICE.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.environment import ROOT, python_path

_VARIABLE = "FAKE_DEVICE"
_PROGRAM = ("-P", str(ROOT / "bench" / "fake_worker.py"))
_START_S = 120


class ServerProcess:
    """A server that answers, in a process of its own; its log goes to a file."""

    def __init__(self, command: Sequence[str], data: Path, environment: dict[str, str]) -> None:
        self.data = data
        self._log = (data.parent / f"{data.name}.log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", "0", "--data-dir", str(data)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": python_path()} | environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.url = self._first_line(self.process.stdout)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def workers(self) -> list[int]:
        """The processes it has started and that live."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def rss_bytes(self) -> int:
        """Memory of the server and its workers together."""
        return _rss_bytes(self.process.pid) + self.worker_bytes()

    def worker_bytes(self) -> int:
        """Memory of the workers alone."""
        return sum(map(_rss_bytes, self.workers()))

    def cpu_s(self) -> float:
        """Processor seconds that the server and its workers have taken."""
        return sum(_cpu_s(pid) for pid in (self.process.pid, *self.workers()))

    def handles(self) -> dict[str, int]:
        """Threads and open files of the server's own process."""
        folder = Path(f"/proc/{self.process.pid}")
        return {name: len(list((folder / name).iterdir())) for name in ("task", "fd")}

    def wait_ready(self, limit_s: float = _START_S) -> None:
        """Wait until it can make pictures."""
        end = time.monotonic() + limit_s
        while True:
            try:
                if get(f"{self.url}/ready")["status"] == "ready":
                    return
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the server was not ready in time, see {self._log.name}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once; its workers notice and end by themselves."""
        self.process.kill()
        self.process.wait()
        self._log.close()

    def end(self, limit_s: float = 60) -> tuple[int, float]:
        """Ask it to end well. -> exit code, seconds that took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(limit_s)
        self._log.close()
        return code, time.monotonic() - start

    def _first_line(self, output: IO[str] | None) -> str:
        """The URL that it says first."""
        line = "" if output is None else output.readline()
        found = re.search(r"http://\S+", line)
        if output is None or found is None:
            raise RuntimeError(f"the server did not start: {line!r}, see {self._log.name}")
        # What else it may say is read too: a full pipe would stop it.
        threading.Thread(target=output.read, daemon=True).start()
        return found[0]


def start_pretending(data: Path, *arguments: str, **device: Any) -> ServerProcess:
    """A server over pretended devices that is ready; `device` are FakeDevice's fields."""
    environment = {_VARIABLE: json.dumps(device)}
    return _ready(ServerProcess(["bench.server", *arguments], data, environment))


@contextmanager
def pretending(data: Path, *arguments: str, **device: Any) -> Iterator[ServerProcess]:
    """As start_pretending, until the block ends."""
    with _until_left(start_pretending(data, *arguments, **device)) as server:
        yield server


@contextmanager
def drawing(data: Path, *arguments: str, **environment: str) -> Iterator[ServerProcess]:
    """A server that draws, until the block ends."""
    command = ["mezzotint", "serve", *arguments]
    with _until_left(_ready(ServerProcess(command, data, environment))) as server:
        yield server


def get(url: str) -> Any:
    """The JSON at a URL, whatever its status."""
    request = urllib.request.Request(url)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def send(method: str, url: str, values: object, limit_s: float = 20) -> Any:
    """Send JSON. -> the answer's; HTTPError where it is refused."""
    data, headers = json.dumps(values).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=limit_s) as answer:  # noqa: S310
        return json.load(answer)


def _ready(server: ServerProcess) -> ServerProcess:
    try:
        server.wait_ready()
    except BaseException:
        server.kill()
        raise
    return server


@contextmanager
def _until_left(server: ServerProcess) -> Iterator[ServerProcess]:
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def _rss_bytes(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:  # it has just ended
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Serve, with `_load` replaced: nothing else of the command is changed."""
    import msgspec

    from bench.fake_worker import FakeDevice, spec_of
    from mezzotint.cli import serve as command
    from mezzotint.cli.app import main as run
    from mezzotint.engine.capacity import Capacity
    from mezzotint.server.source import Served
    from mezzotint.workers.pace import Policy
    from mezzotint.workers.pool import Pool
    from mezzotint.workers.spawn import Launch

    text = os.environ[_VARIABLE]
    device = msgspec.json.decode(text, type=FakeDevice)

    def load(config: object, path: object) -> Served:
        in_flight = device.slots + 3  # as many stages as a worker has, as the command does it
        launch = Launch(config=text, program=_PROGRAM, depth=in_flight)
        pool = Pool(spec_of(device), [launch], Policy(backoff_s=0.05, max_backoff_s=0.2))
        return Served(
            pool,
            lambda prompt: len(prompt.split()) + 2,
            state=lambda: pool.state,
            capacity=Capacity(in_flight),
        )

    command._load = load
    sys.argv.insert(1, "serve")
    run()


if __name__ == "__main__":
    main()
