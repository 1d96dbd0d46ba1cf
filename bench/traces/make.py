"""Make the arrival traces: `python -m bench.traces.make`. The same script gives the same files.

Time is counted in pictures: one unit is what the device takes for one picture as it was asked. So
a rate of 1 is the device's capacity, and dividing all times by 1.5 makes it half as much again.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
_SEED = 8


def steady(unit: float) -> float:
    """A full load throughout."""
    return 1.0


def burst(unit: float) -> float:
    """A full load for 100 pictures' time, then a tenth of it for as long."""
    return 1.0 if unit % 200 < 100 else 0.1


def day(unit: float) -> float:
    """A day of 2000 pictures' time: nearly nothing at its ends, a full load in its middle."""
    return 0.05 + 0.95 * math.sin(math.pi * unit / 2000) ** 2


TRACES: dict[str, tuple[Callable[[float], float], float]] = {
    "steady": (steady, 1000),
    "burst": (burst, 1600),
    "day": (day, 2000),
}


def arrivals(rate: Callable[[float], float], length: float) -> list[float]:
    """Arrivals of independent callers (a Poisson process) whose rate never passes 1."""
    rng = random.Random(_SEED)  # noqa: S311 - the same trace every time
    times, now = [], 0.0
    while (now := now + rng.expovariate(1.0)) < length:
        if rng.random() < rate(now):
            times.append(round(now, 2))
    return times


def load(name: str) -> list[float]:
    """A trace's arrivals, in units of a picture's time."""
    found: list[float] = json.loads((FOLDER / f"{name}.json").read_text())["arrivals"]
    return found


def main() -> None:
    argparse.ArgumentParser(prog="python -m bench.traces.make", description=__doc__).parse_args()
    for name, (rate, length) in TRACES.items():
        trace = {"about": rate.__doc__, "seed": _SEED, "arrivals": arrivals(rate, length)}
        (FOLDER / f"{name}.json").write_text(json.dumps(trace, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
