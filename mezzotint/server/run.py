"""Listen and serve until a signal: the socket, uvicorn, the way out."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from mezzotint.server.settings import DRAIN_S
from mezzotint.types import ConfigError, ResourceError

_BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything slow happens; port 0 is any free one."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(f"--host {host} is no address of this machine; correct it") from error
    server = socket.socket(family, kind, number)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(address)
        server.listen(_BACKLOG)
    except OSError as error:
        server.close()
        raise _cannot_listen(host, port, error) from error
    return server


def address_of(server: socket.socket) -> str:
    """The URL that a browser on this machine opens."""
    host, port = server.getsockname()[:2]
    if ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError | ResourceError:
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            f"port {port} is in use on {host}; choose another with --port {port + 1}, or stop "
            "what holds it"
        )
    if error.errno == errno.EACCES:
        return ResourceError(f"port {port} needs privileges; choose one above 1023 with --port")
    return ConfigError(f"--host {host} cannot be listened on ({error.strerror}); correct it")
