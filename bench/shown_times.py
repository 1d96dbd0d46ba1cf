"""Whether shown stage times add up: `python -m bench.shown_times [--count 500] [--out rows.jsonl]`.

Pictures of the bundled model in two steps, ten at a time and of mixed sizes. Each picture's stage
times, its wait between them included, are held against the time from its submission to its file.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from bench.environment import environment
from bench.rows import Row, append
from mezzotint import Engine, Request
from mezzotint.engine.record import Mark, Picture

AT_ONCE = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.shown_times", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="pictures")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    with Engine(device=options.device) as engine:
        row = environment("bench.shown_times") | shares(draw(engine, options.count))
    append(options.out, row)
    print(
        f"{row['pictures']} pictures: shown stages are {row['share']:.2%} of the measured time, "
        f"{row['least']:.2%} to {row['most']:.2%} of a single one"
    )
    return 0 if row["met"] else 1


def draw(engine: Engine, count: int) -> list[Picture]:
    """Make pictures and take note of what the engine says of each."""
    rng = random.Random(1)  # noqa: S311 - the same load each time
    told: list[Picture] = []
    mark = Mark()
    for start in range(0, count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, count))
        requests = [
            Request(
                prompt=f"a red apple, {number}", width=width, height=height, steps=2, seed=number
            )
            for number in numbers
            for width, height in [rng.choice(engine.spec.sizes)]
        ]
        for ticket in engine.submit_all(requests):
            ticket.result()
        seen = engine.observe(mark)
        mark = seen.mark
        told += seen.pictures
    return told


def shares(pictures: Sequence[Picture]) -> Row:
    """Of each picture, and over all."""
    ratios = [sum(p.stages.values()) / ((p.ended_s - p.submitted_s) * 1e3) for p in pictures]
    return {
        "pictures": len(pictures),
        "share": fmean(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "limits": "95 to 105 %",
        "met": min(ratios) >= 0.95 and max(ratios) <= 1.05,
    }


if __name__ == "__main__":
    sys.exit(main())
