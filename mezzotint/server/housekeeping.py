"""Keeps the history as small as the settings say, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time

from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.retention import Rules, sweep
from mezzotint.server.knobs import Live
from mezzotint.server.tuning import Tuning
from mezzotint.types import ResourceError

EVERY_S = 300.0
_DAY_S = 86_400
_log = logging.getLogger(__name__)


class Housekeeper:
    """Sweeps at the start, after each change of settings, and every few minutes."""

    def __init__(self, gallery: Gallery, tuning: Tuning, every_s: float = EVERY_S) -> None:
        self._gallery = gallery
        self._tuning = tuning
        self._every_s = every_s
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="mezzotint-keep", daemon=True)
        tuning.on_change(self._wake.set)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def close(self) -> None:
        """End after the sweep that runs, if one does."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._sweep()
            self._wake.wait(self._every_s)
            self._wake.clear()

    def _sweep(self) -> None:
        rules = rules_of(self._tuning.now)
        if rules == Rules():
            return
        try:
            gone = sweep(self._gallery, rules, time.time_ns() // 1000)
        except ResourceError as error:  # the disk's state, which may be better next time
            _log.warning("old pictures could not be deleted: %s", error)
            return
        if gone:
            _log.info("deleted old pictures", extra={"pictures": gone})


def rules_of(live: Live) -> Rules:
    """Settings as retention takes them: there, 0 is no rule."""
    return Rules(
        max_count=live.keep_pictures or None,
        max_age_s=live.keep_days * _DAY_S or None,
        max_bytes=int(live.keep_gib * 2**30) or None,
    )
