"""How a kernel is cut into programs: chosen from static tables, never timed at start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Launch:
    """One program's share of the work. What a tile counts is said where the table is."""

    tile: int  # a power of two
    warps: int


def candidates(tiles: Iterable[int], warps: Iterable[int]) -> tuple[Launch, ...]:
    """Every pairing, for `python -m bench.kernels --sweep` to fill a table from."""
    return tuple(Launch(tile, num) for tile, num in product(tiles, warps))


def check_rows(**tensors: Tensor | None) -> None:
    """Refuse tensors that are not rows of adjacent elements [rows, width]; None passes."""
    for name, x in tensors.items():
        if x is not None and (x.ndim != 2 or x.stride(1) != 1):
            raise ValueError(
                f"{name} has shape {tuple(x.shape)} and strides {x.stride()}; a kernel reads "
                "rows [rows, width] of adjacent elements: reshape it or call .contiguous()"
            )


def check_contiguous(**tensors: Tensor | None) -> None:
    """Refuse tensors with gaps or another order of dimensions; None passes."""
    for name, x in tensors.items():
        if x is not None and not x.is_contiguous():
            raise ValueError(
                f"{name} of shape {tuple(x.shape)} has strides {x.stride()}; "
                "a kernel reads it as one run of memory: call .contiguous()"
            )


def check_pixels(**tensors: Tensor | None) -> None:
    """Refuse tensors that are not rows of evenly spaced pixels [H, W, C]; None passes."""
    for name, x in tensors.items():
        if x is not None and (x.ndim != 3 or x.stride()[::2] != (x.shape[1] * x.stride(1), 1)):
            raise ValueError(
                f"{name} has shape {tuple(x.shape)} and strides {x.stride()}; a kernel reads "
                "pixels [H, W, C] with their channels side by side: call .contiguous()"
            )
