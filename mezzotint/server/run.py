"""Serve until a signal: uvicorn, and the way out."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from mezzotint.server.settings import DRAIN_S

_log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn, except that a signal is a wish to end well: it is not raised again afterwards."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[], None],
        on_end: Iterable[Callable[[], None]],
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_end = on_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()  # from here on HTTP answers, and a signal ends it well

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _log.info("told to end: what runs has %d s to finish", DRAIN_S)
        for end in self._on_end:  # streams without an end of their own would hold it up
            end()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(app: FastAPI, on_start: Callable[[], None]) -> Server:
    """uvicorn as we want it: no second log of requests, no banner, DRAIN_S for what is running."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=DRAIN_S,
    )
    return Server(config, on_start, app.state.on_end)
