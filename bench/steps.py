"""Adaptive steps against a fixed rule and none, on the same arrivals, in simulated time.

`python -m bench.steps --out bench/results/steps.jsonl --plot docs/images/steps.png`. The device is
a measured row of one guided 1024 px picture of 40 steps (DEVICE); the scheduler, the policies and
the meter are the server's own. A load of 1.5 means half as much again, where a trace is busiest, as
the device makes with the steps that were asked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.environment import ROOT, described
from bench.simulation import Device, Outcome, Service, Simulation
from bench.step_rules import AsAsked, ByUtilisation
from bench.traces.make import TRACES, load
from mezzotint.jobs.steps import ByQueue, StepPolicy
from mezzotint.models.find import describe_random_weights
from mezzotint.models.recipe import resolve
from mezzotint.types import Request, StepRange

LOADS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
DEVICE = ("mezzotint", "1024px-40-guided", "bc0e69b")  # system, workload, commit of its row
TARGET_S = 20.0  # nearly three pictures as asked
BOUNDS = StepRange(20, 60)
PATIENCE_S = 60.0  # a picture that comes later counts as no good
POLICIES: dict[str, Callable[[], StepPolicy]] = {
    "none": AsAsked,
    "utilisation": ByUtilisation,
    "queue": lambda: ByQueue(TARGET_S),
}

Row = dict[str, Any]


def main() -> int:
    options = _options()
    service = measured_service()
    about = {"command": "python -m bench.steps", "commit": described(), "clock": "simulated"}
    rows = [about | row for row in run(service)]
    for row in rows:
        print(
            f"{row['trace']:8}{row['load']:5.2f} {row['policy']:12}"
            f"p50 {row['p50_s']:7.1f} s  p95 {row['p95_s']:7.1f} s  goodput {row['goodput']:4.0%}"
            f"  steps {row['mean_steps']:5.1f}  change {row['mean_change']:4.1f}"
            f"  turns {row['turns']:4.0%}  refused {row['refused']:4.0%}"
        )
    if options.out is not None:
        options.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if options.plot is not None:
        from bench.steps_plot import plot

        plot(rows, traced(service, "day", 1.5), options.plot)
    return 0


def measured_service() -> Service:
    """One guided picture of Z-Image, at the speed that was measured."""
    lines = (ROOT / "bench/results/pictures.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    (row,) = [r for r in rows if (r["system"], r["workload"], r["commit"]) == DEVICE]
    stages = row["stage_ms"]
    spec = describe_random_weights("z-image")
    asked = Request(prompt="x", width=1024, height=1024, steps=40, guidance=4.0, seed=0)
    device = Device(
        tflop_per_s=row["tflop"] / stages["denoise"] * 1e3,
        encode_s=stages["encode"] / 1e3,
        decode_s=stages["decode"] / 1e3,
        file_s=stages["file"] / 1e3,
    )
    return Service(spec=spec, device=device, recipe=resolve(asked, spec), bounds=BOUNDS)


def run(service: Service, loads: Sequence[float] = LOADS) -> Iterator[Row]:
    """A row for every trace, load and policy."""
    for trace in TRACES:
        for factor in loads:
            for policy, outcome in traced(service, trace, factor).items():
                names = {"trace": trace, "load": factor, "policy": policy}
                yield names | measure(outcome)


def traced(service: Service, trace: str, factor: float) -> dict[str, Outcome]:
    """What becomes of a trace under each policy."""
    arrivals_s = [unit * service.picture_s / factor for unit in load(trace)]
    return {name: Simulation(service, make()).run(arrivals_s) for name, make in POLICIES.items()}


def measure(outcome: Outcome) -> Row:
    """Latency (s) of what was made, and what it was made with.

    Goodput is the share of all arrivals that came within PATIENCE_S; `mean_change` is taken from a
    picture to the next, `turns` is how often that change turned its direction.
    """
    latencies = [made.latency_s for made in outcome.made]
    cuts = statistics.quantiles(latencies, n=100)
    num = len(latencies) + outcome.refused
    steps = [steps for _, steps in outcome.given]
    changes = [b - a for a, b in pairwise(steps)]
    moves = [change for change in changes if change]
    turns = sum(a * b < 0 for a, b in pairwise(moves))
    return {
        "p50_s": cuts[49],
        "p95_s": cuts[94],
        "goodput": sum(s <= PATIENCE_S for s in latencies) / num,
        "mean_steps": statistics.fmean(made.steps for made in outcome.made),
        "mean_change": statistics.fmean(map(abs, changes)),
        "turns": turns / len(steps),
        "refused": outcome.refused / num,
        "pictures": num,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.steps", description=__doc__)
    parser.add_argument("--out", type=Path, help="write JSON rows to this file")
    parser.add_argument("--plot", type=Path, help="draw the rows into this file; needs matplotlib")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
