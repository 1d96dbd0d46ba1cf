"""The workloads of the targets' table, and a sweep over how many are asked for at once."""

from __future__ import annotations

from mezzotint.measure.workload import Workload

SINGLE = (
    Workload("1024px-8", 1024, 1024, 8, 0.0, 7),
    Workload("512px-8", 512, 512, 8, 0.0, 9),
    Workload("1024px-40-guided", 1024, 1024, 40, 4.0, 2, warm_steps=3),
)
AT_ONCE = tuple(
    Workload(f"512px-8-x{count}", 512, 512, 8, 0.0, 2, at_once=count, warm_steps=3)
    for count in (1, 2, 4, 8, 16)
)
FOUR = Workload("1024px-40-guided-x4", 1024, 1024, 40, 4.0, 1, at_once=4, warm_steps=3)
WORKLOADS = (*SINGLE, *AT_ONCE, FOUR)
