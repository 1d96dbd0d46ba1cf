"""Draw the rows of bench.steps: latency and steps by load, and one day as it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# matplotlib: the bench's extra alone; nothing that ships needs it.
import matplotlib.pyplot as plt

from bench.simulation import Outcome

_STYLES = {"none": ("#888888", "o"), "utilisation": ("#d1702a", "s"), "queue": ("#1f6fb4", "D")}
_SECONDS = (10, 20, 50, 100, 200, 500)
_TRACES = ("steady", "burst", "day")


def plot(rows: Sequence[dict[str, Any]], day: Mapping[str, Outcome], path: Path) -> None:
    """Write the figure; its format is the path's suffix."""
    figure, axes = plt.subplots(3, 3, figsize=(11, 9), layout="constrained")
    for column, trace in enumerate(_TRACES):
        for row, (field, label) in enumerate(
            (("p95_s", "p95 latency, s"), ("mean_steps", "steps"))
        ):
            _lines(axes[row][column], [r for r in rows if r["trace"] == trace], field, label)
        axes[0][column].set_title(trace)
        axes[0][column].set_yscale("log", subs=())
        axes[0][column].set_yticks(_SECONDS, map(str, _SECONDS))
        axes[0][column].set_ylim(_SECONDS[0], _SECONDS[-1])
        axes[1][column].set_xlabel("load where the trace is busiest, of capacity")
    for column, (policy, outcome) in enumerate(day.items()):
        _course(axes[2][column], policy, outcome)
    axes[1][2].legend(title="policy", loc="upper right")
    figure.savefig(path, dpi=110)


def _lines(axis: Any, rows: Sequence[dict[str, Any]], field: str, label: str) -> None:
    for policy, (colour, marker) in _STYLES.items():
        points = [(row["load"], row[field]) for row in rows if row["policy"] == policy]
        axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=policy)
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)


def _course(axis: Any, policy: str, outcome: Outcome) -> None:
    """Steps as they were given over the day, and the wait beside them."""
    colour, _ = _STYLES[policy]
    hours = [arrived_s / 3600 for arrived_s, _ in outcome.given]
    axis.plot(hours, [steps for _, steps in outcome.given], ".", ms=3, color=colour)
    axis.set_ylim(0, 65)
    axis.set_title(f"day at 1.5: {policy}")
    axis.set_xlabel("hours")
    axis.set_ylabel("steps given")
    wait = axis.twinx()
    made = sorted(outcome.made, key=lambda each: each.arrived_s)
    latencies = [each.latency_s for each in made]
    wait.plot([each.arrived_s / 3600 for each in made], latencies, color="black", lw=0.7)
    wait.set_ylim(0, 480)
    wait.set_ylabel("latency, s (line)")
