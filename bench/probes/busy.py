"""How much of the time the device works: from intervals in which something ran."""

from __future__ import annotations

from collections.abc import Sequence

from mezzotint import Engine
from mezzotint.measure.timing import Made, Make, by_engine
from mezzotint.measure.workload import Workload

Interval = tuple[float, float]  # start, end; any unit


def noting_busy(engine: Engine, shares: list[float]) -> Make:
    """`by_engine` that adds the share of each call in which a stage ran on the device."""
    make = by_engine(engine)

    def noting(prompts: Sequence[str], workload: Workload) -> Made:
        mark = engine.observe().mark
        made = make(prompts, workload)
        runs = [run for run in engine.observe(mark).runs if run.stage != "file"]
        shares.append(covered([(run.start_s, run.end_s) for run in runs]) / made.file_s)
        return made

    return noting


def covered(intervals: Sequence[Interval]) -> float:
    """How long at least one of the intervals lasts."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def idle_fraction(intervals: Sequence[Interval]) -> float:
    """The share of the time from the first start to the last end that no interval covers."""
    if not intervals:
        return 1.0
    length = max(end for _, end in intervals) - min(start for start, _ in intervals)
    return 1.0 - covered(intervals) / length
