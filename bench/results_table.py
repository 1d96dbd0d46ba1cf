"""Rows to ask: the newest of a system at a workload, and a rival's of the same run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.rows import Row

FORMER_NAMES = {  # of systems, in rows that were written before they were given short ones
    "diffusers 0.42.1": "diffusers",
    "mezzotint, no graphs": "mezzotint-no-graphs",
}


@dataclass(frozen=True)
class Results:
    """Rows in the order in which they were measured."""

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Results:
        named = (
            row | {"system": FORMER_NAMES.get(row["system"], row["system"])}
            for row in rows
            if "system" in row and "workload" in row
        )
        return cls(tuple(named))

    def on_newest_gpu(self, systems: Collection[str]) -> Results:
        """Rows of the kind of GPU that these systems were last measured on."""
        gpu = self.last_of(systems).get("gpu")
        return Results(tuple(row for row in self.rows if row["gpu"] == gpu))

    def last_of(self, systems: Collection[str]) -> Row:
        """The last row of any of these, a failure too; empty without one."""
        return next((row for row in reversed(self.rows) if row["system"] in systems), {})

    def newest(self, system: str, workload: str, beside: Row | None = None) -> Row | None:
        """The last row that is no failure; `beside` another: of the same run."""
        found = [
            row
            for row in self.rows
            if (row["system"], row["workload"]) == (system, workload)
            and "error" not in row
            and (beside is None or same_run(row, beside))
        ]
        return found[-1] if found else None

    def pair(self, system: str, rival: str, workload: str) -> tuple[Row, Row] | None:
        """The newest row of a system that has a rival's beside it, and the rival's best way."""
        ours = [
            row
            for row in self.rows
            if (row["system"], row["workload"]) == (system, workload) and "error" not in row
        ]
        for row in reversed(ours):
            theirs = self.best(rival, workload, row)
            if theirs is not None:
                return row, theirs
        return None

    def best(self, system: str, workload: str, beside: Row) -> Row | None:
        """The fastest among the batches that were tried in that run."""
        newest = {
            row.get("batch"): row
            for row in self.rows
            if (row["system"], row["workload"]) == (system, workload)
            and "error" not in row
            and same_run(row, beside)
        }
        return min(newest.values(), key=lambda row: row["ms"], default=None)

    def failure(self, system: str, workload: str) -> str | None:
        """Why the last attempt came to nothing, if it did."""
        found = [r for r in self.rows if (r["system"], r["workload"]) == (system, workload)]
        return found[-1].get("error") if found else None


def same_run(a: Row, b: Row) -> bool:
    """Whether two rows may be set beside each other: one machine since one start of it.

    Older rows do not say it; of them, those of one commit on one kind of GPU are.
    """
    keys = ("gpu", "torch", "machine" if "machine" in a and "machine" in b else "commit")
    return all(a.get(key) == b.get(key) for key in keys)
