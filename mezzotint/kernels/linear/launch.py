"""How a product of tokens and FP8 rows is cut into programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """The tile of y^T that a program makes, and how it walks along the sum."""

    columns: int  # of y, rows of the weight; Hopper's tensor cores want 64 for each four warps
    tokens: int
    depth: int  # elements of the sum in one turn of the loop
    warps: int
    stages: int  # turns that are in shared memory or on their way
    splits: int = 1  # programs that share a tile's sum, which a second kernel adds up in order
