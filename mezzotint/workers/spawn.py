"""Start a worker's process: a fresh interpreter with one end of a socket and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mezzotint.workers.channel import Channel

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_STDERR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How one worker is started."""

    config: str  # for the worker's program; its own is a Config in JSON
    program: tuple[str, ...] = ("-P", "-m", "mezzotint.workers.process")  # arguments of Python
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's own
    depth: int = 10  # requests given to it at once


def spawn(launch: Launch) -> tuple[subprocess.Popen[bytes], Channel]:
    """A running process and the pool's end of its channel. OSError when none can be started.

    It gets its own session, so that Ctrl-C in a terminal reaches the pool alone, which then ends
    its workers in order. It exits by itself once the other end of the socket is closed.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [sys.executable, *launch.program, "--fd", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,  # a library that prints must not write into our output
                env=_environment(launch),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
    except BaseException:
        ours.close()
        raise
    return process, Channel(ours)


def describe_exit(code: int) -> str:
    """A return code in words."""
    return f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"


def _environment(launch: Launch) -> dict[str, str]:
    # -P keeps the working folder off the path, where a file may be named like a module; so the
    # package must be found even if it was that folder which it was imported from.
    path = os.pathsep.join(filter(None, (str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **launch.environment}
