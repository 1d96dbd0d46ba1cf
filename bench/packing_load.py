"""From how many requests on do forwards pay that are shared? In simulated time.

`python -m bench.packing_load --out bench/results/packing_load.jsonl`. Pictures of 512 x 512 and 8
steps arrive at random, or sixteen at once; the scheduler is the engine's own, the device the newest
rows of `bench.packing`. A load of 1 is what the device makes one by one. `from` is how many must be
in hand for forwards to be shared: 2 is always, 0 never; PACK_FROM of `mezzotint/engine/cost.py` is
the rule that came of it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from bench.environment import described
from bench.packing import STEP_TFLOP
from bench.rows import RESULTS, Row, append, read
from bench.simulation import Device, Outcome, Service, Simulation
from bench.step_rules import AsAsked
from mezzotint.engine.cost import PACK_TFLOP
from mezzotint.engine.scheduler import Limits
from mezzotint.models.find import describe_random_weights
from mezzotint.models.recipe import resolve
from mezzotint.types import Request, StepRange

LOADS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
FROM = (0, 2, 4, 6, 8, 10)
PICTURES = 6000
AT_ONCE = 16
_STEPS = 8
_OTHER_STAGES_S = 0.005  # each, beside the steps, which are the busiest stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.packing_load", description=__doc__)
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    measured = read([RESULTS / "packing.jsonl"])
    about = {"command": "python -m bench.packing_load", "commit": described(), "clock": "simulated"}
    rows = [about | row for name in ("bf16", "fp8") for row in run(name, measured)]
    if options.out is not None:
        for row in rows:
            append(options.out, row)
    for row in rows:
        load, least = row["load"] or f"{AT_ONCE} at once", row["from"] or "never"
        print(
            f"{row['precision']} load {load:>10}  from {least:>5}  mean {row['mean_s']:6.3f} s"
            f"  p95 {row['p95_s']:6.3f} s  {row['per_s']:.2f} images/s"
        )
    return 0


def run(precision: str, measured: Sequence[Row], pictures: int = PICTURES) -> Iterator[Row]:
    """A row for every load and rule; load None is sixteen at once."""
    service = measured_service(precision, measured)
    for load in (*LOADS, None):
        arrivals_s = [0.0] * AT_ONCE
        if load is not None:
            arrivals_s = poisson(load / service.picture_s, pictures)
        for least in FROM:
            tflop = PACK_TFLOP if least else 0.0
            limits = Limits(slots=8, pack_tflop=tflop, pack_from=least)
            outcome = Simulation(replace(service, limits=limits), AsAsked()).run(arrivals_s)
            yield {"precision": precision, "load": load, "from": least} | waits(outcome)


def measured_service(precision: str, measured: Sequence[Row]) -> Service:
    """Pictures of 512 x 512 on a device that shares forwards as the newest rows say."""
    rows = [r for r in measured if r["precision"] == precision and r["at_once"] == 4]
    newest = {round(r["pack_tflop"] / STEP_TFLOP): r["ms"] / 4e3 for r in rows}
    alone, two, four = newest[0], newest[2], newest[4]
    spec = describe_random_weights("z-image-turbo")
    recipe = resolve(Request(prompt="x", width=512, height=512, steps=_STEPS, seed=0), spec)
    device = Device(
        tflop_per_s=spec.cost(recipe) * _STEPS / alone,
        encode_s=_OTHER_STAGES_S,
        decode_s=_OTHER_STAGES_S,
        file_s=0.0,
        shared=(1.0, two / alone, (two + four) / 2 / alone, four / alone),
    )
    return Service(
        spec=spec,
        device=device,
        recipe=recipe,
        bounds=StepRange(_STEPS, _STEPS),
        max_queue=10**6,
    )


def poisson(per_s: float, count: int) -> list[float]:
    """Arrivals at random, the same on every call, in seconds."""
    rng = random.Random(5)  # noqa: S311
    return list(accumulate(rng.expovariate(per_s) for _ in range(count)))


def waits(outcome: Outcome) -> Row:
    """From arrival to picture, seconds, and pictures a second."""
    latencies = [made.latency_s for made in outcome.made]
    first = min(made.arrived_s for made in outcome.made)
    return {
        "mean_s": statistics.fmean(latencies),
        "p95_s": statistics.quantiles(latencies, n=20)[-1],
        "per_s": len(latencies) / (outcome.made[-1].ended_s - first),
    }


if __name__ == "__main__":
    sys.exit(main())
