"""A server's memory over a run."""

from __future__ import annotations

import statistics
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.server import ServerProcess


@dataclass(slots=True)
class Memory:
    """What was seen of it."""

    samples: list[tuple[float, int]] = field(default_factory=list)  # (s from the start, bytes)
    handles: dict[str, int] = field(default_factory=dict)

    @property
    def last_bytes(self) -> int:
        return self.samples[-1][1]

    def at_bytes(self, second: float) -> int:
        """From a second of the run on."""
        return next((each for at, each in self.samples if at >= second), self.last_bytes)

    def growth(self) -> float:
        """From the median of the second tenth of the run to that of its last, as a share."""
        tenth = max(len(self.samples) // 10, 1)
        before = statistics.median(b for _, b in self.samples[tenth : 2 * tenth])
        return statistics.median(b for _, b in self.samples[-tenth:]) / before - 1.0

    def slope_bytes(self, ended_s: list[float], since_s: float | None = None) -> float | None:
        """Bytes a request by least squares; None: too short a run.

        From `since_s` on, or else without the first fifth of the run.
        """
        ended_s = sorted(ended_s)
        since_s = self.samples[-1][0] / 5 if since_s is None else since_s
        late = [s for s in self.samples if s[0] >= since_s]
        counts = [bisect_right(ended_s, second) for second, _ in late]
        if len(set(counts)) < 2:
            return None
        return statistics.linear_regression(counts, [b for _, b in late]).slope


@contextmanager
def sampling(server: ServerProcess, every_s: float = 0.5) -> Iterator[Memory]:
    """Look at a server's memory while the block runs."""
    memory, stop, start = Memory(), threading.Event(), time.monotonic()

    def look() -> None:
        while not stop.wait(every_s):
            memory.samples.append((time.monotonic() - start, server.rss_bytes()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield memory
    finally:
        stop.set()
        thread.join()
        memory.handles = server.handles()
