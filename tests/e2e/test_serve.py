"""`mezzotint serve` as people run it: a process, a picture by OpenAI's client, a signal."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import openai
import pytest

from mezzotint.images.png import png_size

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
KEY = "k-0123456789abcdef"

# Python imports this first, in the server and in its workers: a process ends at once when anything
# is unpickled or any socket connects, and leaves a mark that it was watched.
WATCH = """
import os, sys
from pathlib import Path

def watch(event, arguments):
    if event in ("pickle.find_class", "socket.connect"):
        print("FORBIDDEN", event, arguments, file=sys.stderr, flush=True)
        os._exit(99)

sys.addaudithook(watch)
Path(__file__).with_name(f"{os.getpid()}.watched").touch()
"""


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEZZOTINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))  # the default data folder is below it
    watch = tmp_path / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(watch), str(ROOT))))
    monkeypatch.chdir(tmp_path)


class Process:
    """A server process; its log is read as it comes, so that it never fills the pipe."""

    def __init__(self, *arguments: str, key: str | None) -> None:
        environment = dict(os.environ) | ({} if key is None else {"MEZZOTINT_API_KEY": key})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mezzotint", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.log: list[str] = []
        self.ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        self.url = self.first_line.strip().rpartition(" ")[2]

    def end(self, number: signal.Signals) -> int:
        """Send a signal. -> the exit code; nothing of the server may be left then."""
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)  # its pipe ends with the last process that holds it
        assert not self._reader.is_alive(), "a process was left behind"
        assert "FORBIDDEN" not in "".join(self.log), self.log
        return code

    def workers(self) -> list[int]:
        """The processes that the server has started and that live."""
        path = Path(f"/proc/{self.process.pid}/task")
        return [
            int(pid) for task in path.iterdir() for pid in (task / "children").read_text().split()
        ]

    def status(self) -> str:
        """What /ready says."""
        return str(httpx2.get(f"{self.url}/ready", timeout=LIMIT_S).json()["status"])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if '"event":"ready' in line:
                self.ready.set()


@contextmanager
def started(*arguments: str, key: str | None = None) -> Iterator[Process]:
    server = Process(*arguments, key=key)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_a_picture_by_openais_client_and_a_good_end() -> None:
    with started(key=KEY) as server:
        assert server.first_line.startswith("mezzotint: serving at http://127.0.0.1:")
        # Retries wait until the model is loaded: 503 with Retry-After.
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=20)
        answer = client.images.generate(
            model="mezzotint-small",
            prompt="a red apple on green grass",
            size="128x128",
            extra_body={"seed": 7, "steps": 4},
        )
        assert answer.data is not None
        assert answer.usage is not None
        assert png_size(base64.b64decode(answer.data[0].b64_json or "")) == (128, 128)
        assert answer.usage.output_tokens == 64
        assert 10 < answer.usage.input_tokens < 60  # two prompts in Qwen's template
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="no").models.list()
        processes = [server.process.pid, *server.workers()]
        assert len(processes) == 2
        assert all(Path("watch", f"{pid}.watched").exists() for pid in processes)
        assert server.end(signal.SIGTERM) == 0, server.log
        assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    events = [json.loads(line) for line in server.log]
    assert {"mezzotint.server.source", "mezzotint.server.edge"} <= {e["logger"] for e in events}
    assert any(event["event"].startswith("told to end") for event in events)
    assert not any("apple" in line or KEY in line for line in server.log)
    assert {event["level"] for event in events} == {"info"}


def test_a_picture_under_way_is_finished_before_the_end() -> None:
    with started() as server:
        assert server.ready.wait(LIMIT_S), server.log
        sizes: list[int] = []

        def call() -> None:
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
            extra = {"steps": 20, "guidance_scale": 0}
            stream = client.images.generate(prompt="a cup", n=2, stream=True, extra_body=extra)
            for event in stream:
                sizes.append(len(event.b64_json))
                if len(sizes) == 1:
                    server.process.send_signal(signal.SIGTERM)

        thread = threading.Thread(target=call)
        thread.start()
        assert server.process.wait(LIMIT_S) == 0, server.log
        thread.join(LIMIT_S)
    assert len(sizes) == 2


def test_looks_at_a_picture_come_before_it() -> None:
    with started() as server:
        assert server.ready.wait(LIMIT_S), server.log
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        extra = {"steps": 4, "seed": 7, "guidance_scale": 0}
        *looks, last = client.images.generate(
            prompt="a red apple", stream=True, partial_images=3, extra_body=extra
        )
        assert last.type == "image_generation.completed"
        assert [getattr(look, "partial_image_index", None) for look in looks] == [0, 1, 2]
        files = [base64.b64decode(event.b64_json) for event in (*looks, last)]
        assert {png_size(file) for file in files} == {(128, 128)}
        assert len(set(files)) == 4
        assert server.end(signal.SIGTERM) == 0, server.log


def test_a_worker_that_is_killed_costs_one_retry() -> None:
    with started() as server:
        assert server.ready.wait(LIMIT_S), server.log
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        extra = {"steps": 60, "seed": 7, "guidance_scale": 0}
        events = []
        for event in client.images.generate(
            prompt="a red apple", stream=True, partial_images=3, extra_body=extra
        ):
            events.append(event)
            if len(events) == 1:
                (first,) = server.workers()
                os.kill(first, signal.SIGKILL)
                until(lambda: server.status() == "restarting")
        assert [getattr(event, "partial_image_index", None) for event in events] == [0, 1, 2, None]
        assert png_size(base64.b64decode(events[-1].b64_json)) == (128, 128)
        assert server.status() == "ready"
        (second,) = server.workers()
        assert second != first
        again = client.images.generate(prompt="a red apple", extra_body=extra)
        assert again.data is not None
        assert again.data[0].b64_json == events[-1].b64_json
        assert server.end(signal.SIGTERM) == 0, server.log
        assert not Path(f"/proc/{second}").exists()
    warnings = [line for line in server.log if '"level":"warning"' in line]
    assert len(warnings) == 1
    assert "was ended by signal 9" in warnings[0]


def test_a_prompt_that_is_too_long_is_refused_before_a_stream_begins() -> None:
    with started() as server:
        assert server.ready.wait(LIMIT_S), server.log
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        with pytest.raises(openai.BadRequestError, match="shorten"):
            client.images.generate(prompt="apple " * 5000, stream=True)


@pytest.mark.parametrize("started_workers", [0, 1])
def test_a_signal_while_the_weights_load_ends_it_well(started_workers: int) -> None:
    with started() as server:
        assert server.url
        until(lambda: len(server.workers()) >= started_workers)
        assert server.end(signal.SIGTERM) == 0, server.log
        assert "Traceback" not in "".join(server.log)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, LIMIT_S at most."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
