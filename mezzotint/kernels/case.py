"""What a check or a timing of an operation needs to know: inputs, formula, bytes, operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

EPS = 1e-5
L2_BYTES = 50_000_000  # an H100's; what exceeds it must be read from memory again

Outputs = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One operation at one shape.

    inputs draws the operation's positional arguments on the generator's device; formula is plain
    torch, in its inputs' own dtypes: the truth in float64, the rival in bfloat16.
    """

    op: str  # a function of mezzotint.kernels
    name: str
    inputs: Callable[[torch.Generator, torch.dtype], tuple[Any, ...]]
    formula: Callable[..., Outputs]
    num_bytes: int  # least memory traffic in bfloat16
    num_flops: int = 0  # of matrix products; others are never the limit
    small: bool = False  # an odd little shape, quick enough for triton's interpreter
    library: bool = False  # one call of torch: nothing to poison, sweep or compare


def draw(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    """A normal sample on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device).to(dtype)


def segment_index(lengths: Sequence[int], device: torch.device) -> Tensor:
    """The segment of each token [T] int64."""
    return torch.repeat_interleave(torch.tensor(tuple(lengths))).to(device)
