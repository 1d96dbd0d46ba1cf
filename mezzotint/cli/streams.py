"""The process's standard streams: those that are closed, and a stdout that takes no more."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mezzotint.types import ResourceError


class Stdout(io.TextIOWrapper):
    """Text for stdout; what cannot be written is a sentence, but for a reader that went away."""

    def write(self, text: str) -> int:
        with told():
            return super().write(text)

    def flush(self) -> None:
        with told():
            super().flush()


@contextmanager
def told() -> Iterator[None]:
    """Turn a full disk behind stdout, and the like, into a ResourceError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResourceError(
            f"stdout could not be written ({error.strerror}); free some space or redirect it "
            "elsewhere"
        ) from error


def prepare() -> None:
    """Put /dev/null in place of closed streams, and a Stdout in place of stdout."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # other files would be given its number
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
            os.set_inheritable(stream.fileno(), True)  # for workers
            setattr(sys, name, stream)
    # A prompt's letters may be none of the terminal's.
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        line, through, encoding = out.line_buffering, out.write_through, out.encoding
        sys.stdout = Stdout(
            out.detach(), encoding, "backslashreplace", line_buffering=line, write_through=through
        )
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")


def stdout_is_closed() -> bool:
    """Whether /dev/null stands in for a stdout that there is not."""
    return sys.stdout.name == os.devnull


def give_up_stdout() -> None:
    """Drop what stdout did not take: Python would try it again at the end."""
    try:
        sys.stdout.flush()
    except ResourceError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
