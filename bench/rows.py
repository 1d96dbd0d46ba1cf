"""Rows of results: one JSON object a line, appended as they come."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
RESULTS = Path(__file__).parent / "results"


def append(path: Path | None, row: Row) -> None:
    """Write a row at once: a run that is cut short leaves what it measured."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read(paths: Iterable[Path]) -> list[Row]:
    """All rows of these files, in order; ValueError names the file and line that is no row."""
    rows: list[Row] = []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number} is no row ({error}); mend or drop it") from error
            rows.append(row | {"where": f"{path.name}:{number}"})
    return rows
