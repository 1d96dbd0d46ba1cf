"""The data folder of a server: what lies where, and that one server uses it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# filelock: the lock goes with its process, however that ends.
from filelock import FileLock, Timeout

from mezzotint.jobs.files import Files
from mezzotint.types import ResourceError

DEFAULT_DATA = Path("~/.local/share/mezzotint")


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A folder with the history, the thumbnails and, unless given, the outputs."""

    path: Path
    outputs: Path | None = None

    @property
    def database(self) -> Path:
        return self.path / "history.sqlite3"

    @property
    def files(self) -> Files:
        return Files(self.outputs or self.path / "outputs", self.path / "thumbnails")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. ResourceError when another server does."""
        lock = FileLock(self.path / "server.lock", timeout=0, mode=0o600)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise ResourceError(
                f"another server uses {self.path}; stop it, or give another --data-dir"
            ) from error
        except OSError as error:
            raise ResourceError(
                f"{self.path} cannot be used ({error.strerror}); give a --data-dir that can be "
                "written"
            ) from error
        try:
            yield
        finally:
            lock.release()
