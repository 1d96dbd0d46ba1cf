"""`mezzotint serve` as people run it: a process, a picture by OpenAI's client, a signal."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from mezzotint.images.png import png_size

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
KEY = "k-0123456789abcdef"

# The command, in a process that ends at once when anything is unpickled or any socket connects.
WATCHED = """
import os, sys

def watch(event, arguments):
    if event in ("pickle.find_class", "socket.connect"):
        print("FORBIDDEN", event, arguments, file=sys.stderr, flush=True)
        os._exit(99)

sys.addaudithook(watch)
from mezzotint.cli.app import main
main()
"""


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEZZOTINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


class Process:
    """A server process; its log is read as it comes, so that it never fills the pipe."""

    def __init__(self, *arguments: str, key: str | None) -> None:
        environment = dict(os.environ) | ({} if key is None else {"MEZZOTINT_API_KEY": key})
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCHED, "serve", "--port", "0", *arguments],
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
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return code

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
        assert server.end(signal.SIGTERM) == 0, server.log
    events = [json.loads(line) for line in server.log]
    assert {"mezzotint.server.source", "mezzotint.server.edge"} <= {e["logger"] for e in events}
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


def test_a_signal_while_the_weights_load_ends_it_well() -> None:
    with started() as server:
        assert server.url
        assert server.end(signal.SIGTERM) == 0, server.log
        assert "Traceback" not in "".join(server.log)
