"""Where each segment of a packed sequence begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Segments laid end to end, on the host (bounds) and on the device (index, cu_seqlens)."""

    bounds: tuple[int, ...]  # [S+1], cumulative lengths, starts with 0
    index: Tensor  # [T] int64, the segment of each token
    cu_seqlens: Tensor  # [S+1] int32, what varlen attention reads

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Segments:
        """Lay segments of these lengths (tokens) end to end."""
        bounds = tuple(accumulate(lengths, initial=0))
        index = torch.repeat_interleave(torch.tensor(tuple(lengths), dtype=torch.int64))
        cu_seqlens = torch.tensor(bounds, dtype=torch.int32)
        return cls(bounds, index.to(device), cu_seqlens.to(device))

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(end - start for start, end in pairwise(self.bounds))

    @property
    def uniform_length(self) -> int | None:
        """The length all segments share, or None when they differ."""
        lengths = set(self.lengths)
        return lengths.pop() if len(lengths) == 1 else None
