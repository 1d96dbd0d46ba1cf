"""The page's two plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# matplotlib: the bench's extra alone; nothing that ships needs it.
import matplotlib.pyplot as plt

from bench.report.tables import TITLES, measured_at_once
from bench.results_table import Results
from bench.rows import Row
from bench.systems import NAMES
from bench.workload import AT_ONCE

_STYLES = {
    "mezzotint": ("#1f6fb4", "D"),
    "mezzotint-fp8": ("#d1702a", "s"),
    "diffusers": ("#888888", "o"),
    "diffusers-compiled": ("#444444", "^"),
    "diffsynth": ("#5a9e6f", "v"),
    "cache-dit": ("#a06cb0", "x"),
}


def throughput(results: Results, path: Path) -> bool:
    """Images a second over how many are asked for at once; False: one number makes no curve."""
    if len(measured_at_once(results)) < 2:
        return False
    curves = {s: _curve(results, s) for s in NAMES if s in _STYLES}
    figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for system, points in curves.items():
        if points:
            colour, marker = _STYLES[system]
            label = TITLES[system].replace("*", "")
            axis.plot(*zip(*points, strict=True), color=colour, marker=marker, label=label)
    axis.set_xscale("log", base=2)
    counts = [w.at_once for w in AT_ONCE]
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.set_xlabel("pictures asked for at once, 512 x 512, 8 steps")
    axis.set_ylabel("images a second, as PNG bytes")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def ladder(rows: Sequence[Row], path: Path) -> bool:
    """Time, throughput, memory and fidelity of each rung; False: nothing to draw."""
    newest = {row["rung"]: row for row in rows if "rung" in row and "error" not in row}
    rungs = sorted(newest.values(), key=lambda row: row["place"])
    if not rungs:
        return False
    names = [row["rung"] for row in rungs]
    first = next(iter(rungs[0]["ms"]))
    panels = (
        (f"{first}: ms", [row["ms"][first] for row in rungs]),
        (f"{rungs[0]['at_once']} at once, 512px: images/s", [r["images_per_s"] for r in rungs]),
        ("peak memory, GiB", [(row["peak_bytes"] or 0) / 2**30 for row in rungs]),
        ("PSNR to float32, dB", [row["median_psnr_db"] or 0 for row in rungs]),
    )
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), sharey=True, layout="constrained")
    for axis, (title, values) in zip(axes, panels, strict=True):
        bars = axis.barh(names, values, color="#1f6fb4")
        axis.bar_label(bars, fmt="{:.4g}", padding=3, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.2)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _curve(results: Results, system: str) -> list[tuple[int, float]]:
    points = []
    for workload in AT_ONCE:
        newest = results.newest(system, workload.name)
        if newest is not None:
            best = results.best(system, workload.name, newest)
            points.append((workload.at_once, best["images_per_s"] if best else 0.0))
    return points
