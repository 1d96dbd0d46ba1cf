"""A server over loopback, in a thread of the test's process."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from fake_runner import FakeRunner, count_tokens

from mezzotint.server.app import create_app
from mezzotint.server.history import History
from mezzotint.server.listener import address_of, listen
from mezzotint.server.run import Server, make_server
from mezzotint.server.settings import Settings
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.watcher import Feed

LIMIT_S = 20


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    port: int
    runner: FakeRunner
    app: Any
    server: Server
    thread: threading.Thread

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=LIMIT_S, **options)

    def metric(self, name: str, **headers: str) -> float:
        """One sample of /metrics; 0 where it is not there yet."""
        with self.client(headers=headers) as client:
            text = client.get("/metrics").raise_for_status().text
        lines = (line.rpartition(" ") for line in text.splitlines())
        return next((float(value) for key, _, value in lines if key == name), 0.0)


@contextmanager
def serving(
    runner: FakeRunner | None = None,
    settings: Settings | None = None,
    load: Callable[[], Served] | None = None,
    *,
    wait: bool = True,
    feed: Feed | None = None,
    history: History | None = None,
) -> Iterator[Running]:
    """Serve a FakeRunner (or what `load` gives) until the block ends; `wait` for /ready."""
    runner = runner or FakeRunner()
    source = RunnerSource(load or (lambda: Served(runner, count_tokens)))
    app = create_app(source, settings or Settings(), history, feed=feed)
    server = make_server(app, lambda: None)
    listener = listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    running = Running(address_of(listener), listener.getsockname()[1], runner, app, server, thread)
    try:
        until(lambda: server.started)
        if wait:
            with running.client() as client:
                until(lambda: client.get("/ready").status_code == 200)
        yield running
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)
        listener.close()
        assert not thread.is_alive(), "the server did not end"


def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def raw_request(port: int, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        connection.sendall(data)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def forget_logs() -> None:
    """Undo `mezzotint.server.logs.configure`."""
    for name in ("mezzotint", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
