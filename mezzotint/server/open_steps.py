"""Steps that a request leaves open, where the operator set a range for them."""

from __future__ import annotations

import re
from dataclasses import replace

from mezzotint.types import Request, StepRange

OFF = "off"


def parse_range(text: str) -> StepRange | None:
    """A range of steps as it is written, 4-16; None for off; ValueError for anything else."""
    if text == OFF:
        return None
    match = re.fullmatch(r"([0-9]{1,4})-([0-9]{1,4})", text, re.ASCII)
    if match is None or not 0 < int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is no range of steps; give {OFF}, or two numbers as 4-16")
    return StepRange(int(match[1]), int(match[2]))


def with_open_steps(request: Request, bounds: StepRange | None) -> Request:
    """The request, with this range where it names neither steps nor a preset, which has its own."""
    named = (request.steps, request.steps_range, request.preset)
    if bounds is None or any(each is not None for each in named):
        return request
    return replace(request, steps_range=bounds)
