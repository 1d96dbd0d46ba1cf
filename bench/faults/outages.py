"""How long a pool lacks a worker."""

from __future__ import annotations

import threading
import time

from mezzotint.workers.pool import Pool

_LIMIT_S = 120.0


class Outages:
    """Watches a pool's workers until it is asked for the longest time without one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._longest_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def longest_s(self) -> float:
        """End watching. -> seconds of the longest time without one."""
        self._stop.set()
        self._thread.join()
        return self._longest_s

    def _watch(self) -> None:
        since_s = None
        while not self._stop.wait(0.005):
            if all(worker.state == "ready" for worker in self._pool.workers()):
                since_s = None
                continue
            since_s = since_s or time.monotonic()
            self._longest_s = max(self._longest_s, time.monotonic() - since_s)


def until_ready(pool: Pool) -> float:
    """Wait until all workers are ready. -> seconds that took; RuntimeError when one stays away."""
    start = time.monotonic()
    while any(worker.state != "ready" for worker in pool.workers()):
        if time.monotonic() - start > _LIMIT_S:
            raise RuntimeError("a worker did not come back")
        time.sleep(0.005)
    return time.monotonic() - start
