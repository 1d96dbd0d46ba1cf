"""Tells the pool, a few times a second, what this worker's runner did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from mezzotint.engine.record import Mark, Run
from mezzotint.engine.runner import Runner
from mezzotint.workers.frames import Observed, encode

PERIOD_S = 0.25
_IDLE_PERIODS = 4  # with nothing to tell, only so seldom
_MAX_RUNS = 2000  # of one frame: some 400 kB
_MAX_NAMES = 8192


class Reporter:
    """A thread that reads the runner; requests are called what the pool calls them."""

    def __init__(self, runner: Runner, send: Callable[[bytes], None]) -> None:
        self._runner = runner
        self._send = send
        self._names: dict[int, int] = {}  # the runner's number of a request -> the pool's
        self._mark = Mark()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mezzotint-report", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after a last report."""
        self._stop.set()
        self._thread.join()

    def name(self, ours: int, theirs: int) -> None:
        """The runner's request `ours` is the pool's `theirs`."""
        self._names[ours] = theirs
        if len(self._names) > _MAX_NAMES:
            del self._names[next(iter(self._names))]

    def _work(self) -> None:
        quiet = 0
        while not self._stop.wait(PERIOD_S):
            quiet = 0 if self._tell(even_if_quiet=quiet >= _IDLE_PERIODS) else quiet + 1
        self._tell(even_if_quiet=True)

    def _tell(self, *, even_if_quiet: bool) -> bool:
        seen = self._runner.observe(self._mark)
        self._mark = seen.mark
        if not seen.runs and not even_if_quiet:
            return False
        runs = tuple(map(self._named, seen.runs[-_MAX_RUNS:]))
        for device in seen.devices:
            self._send(encode(Observed(runs, device)))
        return True

    def _named(self, run: Run) -> Run:
        names = self._names
        members = tuple(
            replace(member, request=names[member.request])
            for member in run.members
            if member.request in names
        )
        return replace(run, members=members)
