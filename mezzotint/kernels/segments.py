"""Where each segment of a packed sequence begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Segments laid end to end, on the host (bounds) and on the device (index, cu_seqlens).

    Where a recorded forward serves many mixes, only the device knows their bounds, and rows beyond
    the last bound belong to no segment.
    """

    bounds: tuple[int, ...] | None  # [S+1], cumulative lengths from 0; None: the device knows
    index: Tensor  # [T] int64, the segment of each token
    cu_seqlens: Tensor  # [S+1] int32, what varlen attention reads
    longest: int  # no segment is longer

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Segments:
        """Lay segments of these lengths (tokens) end to end."""
        bounds = tuple(accumulate(lengths, initial=0))
        index = torch.repeat_interleave(torch.tensor(tuple(lengths), dtype=torch.int64))
        cu_seqlens = torch.tensor(bounds, dtype=torch.int32)
        return cls(bounds, index.to(device), cu_seqlens.to(device), max(lengths, default=0))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each segment; asks the device where only it knows, which waits for it."""
        bounds = self.cu_seqlens.tolist() if self.bounds is None else self.bounds
        return tuple(end - start for start, end in pairwise(bounds))

    @property
    def uniform_length(self) -> int | None:
        """The length all segments share, or None when they differ."""
        if self.bounds is None:
            return None
        lengths = set(self.lengths)
        return lengths.pop() if len(lengths) == 1 else None
