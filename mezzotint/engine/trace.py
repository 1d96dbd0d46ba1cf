"""Finished pictures as a trace that Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mezzotint.types import Span

_ROWS = ("queue", "encode", "denoise", "decode", "file")  # top to bottom


@dataclass(frozen=True, slots=True)
class Traced:
    """One picture's spans, which count from `submitted_s`, seconds on a clock of all pictures."""

    name: str
    submitted_s: float
    spans: tuple[Span, ...]


def to_trace(pictures: Iterable[Traced], clock: Literal["host", "device"]) -> bytes:
    """A document in Chrome's trace format: one row a stage, microseconds from the first request.

    What waits is drawn as asynchronous spans, since requests wait side by side.
    """
    pictures = tuple(pictures)
    origin_s = min((picture.submitted_s for picture in pictures), default=0.0)
    events = list(_rows(clock))
    for number, picture in enumerate(pictures):
        for span in picture.spans:
            events += _events(number, picture, span, origin_s)
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events}).encode()


def _rows(clock: str) -> Iterator[dict[str, Any]]:
    process = {"name": f"mezzotint ({clock} clock)"}
    yield {"ph": "M", "pid": 1, "name": "process_name", "args": process}
    for row, stage in enumerate(_ROWS):
        about = {"ph": "M", "pid": 1, "tid": row}
        yield about | {"name": "thread_name", "args": {"name": stage}}
        yield about | {"name": "thread_sort_index", "args": {"sort_index": row}}


def _events(number: int, picture: Traced, span: Span, origin_s: float) -> Iterator[dict[str, Any]]:
    start_us = (picture.submitted_s - origin_s) * 1e6 + span.start_ms * 1e3
    about = {"name": picture.name, "cat": span.stage, "pid": 1, "tid": _ROWS.index(span.stage)}
    if span.stage == "queue":
        ends = (("b", start_us), ("e", start_us + span.length_ms * 1e3))
        yield from (about | {"ph": mark, "id": number, "ts": time_us} for mark, time_us in ends)
    else:
        yield about | {
            "ph": "X",
            "ts": start_us,
            "dur": span.length_ms * 1e3,
            "args": {"picture": number},
        }
