"""How attention in FP8 is cut into programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """Rows and turns of a program, and where the sum over its turns is kept."""

    tile: int  # rows of a program, 64 or 128
    keys: int  # of one turn of its loop, 32, 64 or 128
    warps: int  # four for each 64 rows
    stages: int  # turns whose keys and values are in shared memory or on their way
    wide: bool = False  # turns are summed in float32 registers: tensor cores keep fewer bits
    registers: int | None = None  # of a thread, at most; None: as many as it wants
