"""A size never seen before: its first picture against the same size warm."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from bench.rows import Row
from mezzotint import Engine
from mezzotint.measure.timing import REST_S, by_engine
from mezzotint.measure.workload import Workload

USUAL = ((1024, 1024), (512, 512))  # what the engine has been making before a new size comes
SIZES = {  # of about as many pixels; no other measurement uses them
    "new-size-1024px": ((1152, 896), (1088, 960), (960, 1088)),
    "new-size-512px": ((528, 512), (576, 464), (640, 416)),
}
WARM = 3


def measure_new_size(engine: Engine, name: str, prompts: Iterator[str], steps: int = 8) -> Row:
    """Medians over three sizes: milliseconds of the first picture, of later ones, their ratio."""
    make = by_engine(engine)
    for width, height in USUAL * WARM:
        make([next(prompts)], Workload("usual", width, height, steps, 0.0))
    firsts, warms, ratios = [], [], []
    for width, height in SIZES[name]:
        workload = Workload(name, width, height, steps, 0.0)
        lengths = []
        for _ in range(2 + WARM):  # what was not prepared is captured in the second
            time.sleep(REST_S)
            lengths.append(make([next(prompts)], workload).file_s * 1e3)
        firsts.append(lengths[0])
        warms.append(statistics.median(lengths[2:]))
        ratios.append(lengths[0] / warms[-1])
    return {
        "ms": statistics.median(firsts),
        "warm_ms": statistics.median(warms),
        "ratio": statistics.median(ratios),
        "worst_ratio": max(ratios),
        "rest_s": REST_S,
    }
