"""Engines that are still open when the program ends are closed first."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol


class Closable(Protocol):
    def close(self) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_at_exit(engine: Closable) -> None:
    """Close it when the main thread ends, if it lives by then; one that is closed stays so."""
    _open.add(engine)


def _close_all() -> None:
    for engine in list(_open):
        engine.close()


# A thread that is inside torch while Python ends takes the process down with an abort. atexit is
# too late: by then Python has ended the pools that an engine needs to finish. Its own pools are
# ended this way, so that what is registered after them runs before.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
