"""Finished pictures as a trace that Perfetto and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mezzotint.engine.record import RUN_STAGES, Run
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


def runs_to_trace(runs: Iterable[Run], clock: Literal["host", "device"]) -> bytes:
    """The same of runs: one process a device, one row a stage; a pack is one span."""
    runs = tuple(runs)
    origin_s = min((run.start_s for run in runs), default=0.0)
    events: list[dict[str, Any]] = []
    for device in sorted({run.device for run in runs}):
        about = {"name": f"device {device} ({clock} clock)"}
        events.append({"ph": "M", "pid": device, "name": "process_name", "args": about})
        for row, stage in enumerate(RUN_STAGES):
            events += _row(device, row, stage)
    for number, run in enumerate(runs):
        events += _run_events(number, run, origin_s)
    return json.dumps({"displayTimeUnit": "ms", "traceEvents": events}).encode()


def _run_events(number: int, run: Run, origin_s: float) -> Iterator[dict[str, Any]]:
    start_us = (run.start_s - origin_s) * 1e6
    length_us = (run.end_s - run.start_s) * 1e6
    about = {
        "name": _run_name(run),
        "cat": run.stage,
        "pid": run.device,
        "tid": RUN_STAGES.index(run.stage),
    }
    if run.stage == "file":  # written side by side
        yield about | {"ph": "b", "id": number, "ts": start_us}
        yield about | {"ph": "e", "id": number, "ts": start_us + length_us}
        return
    members = [
        {"request": m.request, "step": f"{m.step}/{m.steps}", "size": f"{m.width}x{m.height}"}
        for m in run.members
    ]
    args = {"members": members, "replayed": run.replayed}
    yield about | {"ph": "X", "ts": start_us, "dur": length_us, "args": args}


def _run_name(run: Run) -> str:
    if len(run.members) != 1:
        return f"{run.stage} of {len(run.members)}"
    (member,) = run.members
    step = f" {member.step}/{member.steps}" if run.stage == "denoise" else ""
    return f"{run.stage} {member.request}{step}"


def _rows(clock: str) -> Iterator[dict[str, Any]]:
    process = {"name": f"mezzotint ({clock} clock)"}
    yield {"ph": "M", "pid": 1, "name": "process_name", "args": process}
    for row, stage in enumerate(_ROWS):
        yield from _row(1, row, stage)


def _row(process: int, row: int, stage: str) -> Iterator[dict[str, Any]]:
    about = {"ph": "M", "pid": process, "tid": row}
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
