"""The socket that a server listens on."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address

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


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError | ResourceError:
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            f"port {port} is in use on {host}; choose another with --port {port + 1}, or stop "
            "what holds it"
        )
    if error.errno == errno.EACCES:
        return ResourceError(f"port {port} needs privileges; choose one above 1023 with --port")
    return ConfigError(f"--host {host} cannot be listened on ({error.strerror}); correct it")
