"""A kernel that writes where nothing is: the driver ends the CUDA context of its process."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

_AWAY = -(2**40)  # bytes: a tebibyte below any memory of ours


def write_where_nothing_is() -> None:
    """Launch it; whoever waits for the device next hears of an illegal memory access."""
    _store[(1,)](torch.zeros(1, dtype=torch.int8, device="cuda"), _AWAY)


@triton.jit
def _store(pointer, away):
    tl.store(pointer + away, 1)
