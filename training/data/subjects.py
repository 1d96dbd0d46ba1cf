"""The subjects: what can be drawn, with its names in English and Chinese."""

import csv
from dataclasses import dataclass
from pathlib import Path

SUBJECTS_FILE = Path(__file__).with_name("subjects.tsv")


@dataclass(frozen=True)
class Subject:
    """One subject; the first name of each language is the usual one, the rest are aliases.

    code: the emoji's code points in hexadecimal, joined by '-', without U+FE0F.
    measure: the Chinese measure word (量词) that counts it.
    kind: the emoji group it belongs to, e.g. 'mammals'.
    """

    code: str
    english: tuple[str, ...]
    chinese: tuple[str, ...]
    measure: str
    kind: str


def read_subjects(path: Path = SUBJECTS_FILE) -> list[Subject]:
    """Read the table of subjects; a malformed row raises ValueError."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [_subject(row) for row in rows]


def _subject(row: dict[str, str]) -> Subject:
    if not all(row.values()):
        raise ValueError(f"a subject lacks a field: {row}; fill every column of subjects.tsv")
    return Subject(
        row["code"],
        tuple(row["english"].split("/")),
        tuple(row["chinese"].split("/")),
        row["measure"],
        row["kind"],
    )
