"""The database: one thread writes, readers have connections of their own.

SQLite in WAL mode with `synchronous=FULL`: a commit returns once it is on the disk, so that a job
that was acknowledged survives a power cut as well as `kill -9`. NORMAL would survive the kill
alone; the difference is one fsync a commit, and there are a few commits a picture.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

# SQLAlchemy Core: the same statements will run on PostgreSQL.
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from mezzotint.jobs.migrate import migrate
from mezzotint.types import ResourceError

BUSY_S = 5.0  # how long to wait for another process that writes, such as `mezzotint keys`


class HistoryError(ResourceError):
    """The history cannot be read or written: disk full, read-only, locked, damaged."""


P = ParamSpec("P")
T = TypeVar("T")
_Task = tuple[Callable[[Connection], Any], "Future[Any]"]


class Database:
    """An open history. Every call is a transaction: it happens whole and is on the disk, or not.

    HistoryError when it cannot be read or written. Close it, or use it in a `with` statement.
    """

    def __init__(self, file: Path, busy_s: float = BUSY_S) -> None:
        self._file = file
        _create(file)
        url = f"sqlite:///{file}"
        # Errors go into the log, and parameters hold prompts.
        self._writer = create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
        self._readers = create_engine(url, pool_size=4, max_overflow=12, hide_parameters=True)
        _configure(self._writer, busy_s, begin="BEGIN IMMEDIATE", read_only=False)
        _configure(self._readers, busy_s, begin="BEGIN", read_only=True)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="mezzotint-history", daemon=True)
        self._thread.start()
        try:
            self.write(migrate)
        except BaseException:
            self.close()
            raise

    def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(connection, ...)` in the writer's thread and wait until it is on the disk."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise ResourceError("the history was closed; open it again")
            self._tasks.put((lambda connection: work(connection, *args, **kwargs), future))
        return future.result()

    def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(connection, ...)` here, on one snapshot."""
        try:
            with self._readers.begin() as connection:
                return work(connection, *args, **kwargs)
        except DBAPIError as error:
            raise _explain(error, self._file) from error

    def close(self) -> None:
        """Finish what was asked and free everything."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._tasks.put(None)
        self._thread.join()
        self._writer.dispose()
        self._readers.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            work, future = task
            try:
                with self._writer.begin() as connection:
                    result = work(connection)
            except IntegrityError as error:  # a mistake in a statement, not the disk's state
                future.set_exception(error)
            except DBAPIError as error:
                future.set_exception(_explain(error, self._file))
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del task, work, future


def _create(file: Path) -> None:
    """Make the file readable for its owner alone: prompts are private."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ResourceError(
            f"the history cannot be opened ({file}: {error.strerror}); give a --data-dir that can "
            "be written"
        ) from error


def _configure(engine: Engine, busy_s: float, begin: str, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where it guesses
        connection.execute(f"PRAGMA busy_timeout={int(busy_s * 1000)}")
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA query_only={int(read_only)}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _explain(error: DBAPIError, file: Path) -> HistoryError:
    remedy = (
        "free disk space, let other programs release it, or give another --data-dir"
        if isinstance(error, OperationalError)
        else "it is damaged: restore it from a backup, or move it away to begin anew"
    )
    return HistoryError(f"the history cannot be used ({file.name}: {error.orig}); {remedy}")
