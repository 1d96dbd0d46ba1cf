"""What a finished batch says on stdout: paths, a table of stages, or one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import IO, Any

from mezzotint.cli.batch import Outcome, Record

_STAGES = {
    "queue": "wait in the queue",
    "encode": "encode the prompt",
    "denoise": "denoise",
    "decode": "decode the picture",
    "file": "encode the file",
}


def print_stages(
    records: Sequence[Record], clock: str, start_s: float, run_s: float, file: IO[str]
) -> None:
    """Print milliseconds by stage, the median of several pictures; `clock` is host or device."""
    from rich.console import Console
    from rich.table import Table

    several = len(records) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage")
    table.add_column("median ms" if several else "ms", justify="right")
    if several:
        table.add_column("most ms", justify="right")
    for label, values in _rows(records):
        cells = [median(values), max(values)] if several else [values[0]]
        table.add_row(label, *(f"{value:.1f}" for value in cells))
    console = Console(file=file, highlight=False, soft_wrap=True)
    console.print(table)
    count = f"{len(records)} picture{'s' * several}"
    console.print(f"clock: {clock}; start {start_s:.2f} s, {count} in {run_s:.2f} s")


def to_json(outcome: Outcome, start_s: float, run_s: float) -> str:
    """A document with every picture written, also when the batch was stopped."""
    document = {
        "pictures": [_entry(record) for record in outcome.records],
        "interrupted": outcome.signal is not None,
        "start_ms": start_s * 1e3,
        "run_ms": run_s * 1e3,
    }
    # Terminals and files in old encodings: the escapes are JSON all the same.
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(document, ensure_ascii=ascii_only, indent=2)


def _rows(records: Sequence[Record]) -> list[tuple[str, list[float]]]:
    rows: list[tuple[str, list[float]]] = []
    for stage, label in _STAGES.items():
        values = [record.stage_ms.get(stage, 0.0) for record in records]
        rows.append((label, values))
        if stage == "denoise":
            pairs = zip(values, records, strict=True)
            rows.append(("  each step", [value / r.recipe.steps for value, r in pairs]))
    rows.append(("together", [sum(record.stage_ms.values()) for record in records]))
    return rows


def _entry(record: Record) -> dict[str, Any]:
    provenance = asdict(record.provenance)
    return {
        "path": record.path,
        "sha256": record.sha256,
        "recipe": asdict(record.recipe),
        "provenance": provenance | {"versions": dict(record.provenance.versions)},
        "stage_ms": record.stage_ms,
    }
