"""What a model needs of its device's memory, before any of it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes of a model in one precision, plain numbers from its configuration."""

    weights: int  # all that must lie on the device
    text_rows: int  # the text encoder's embedding rows, which may lie on the host instead
    element: int  # of one activation
    # (pixels, guided) -> the most that one picture's three stages hold at once, beside its slot;
    # it grows with the pixels
    work: Callable[[int, bool], int]
