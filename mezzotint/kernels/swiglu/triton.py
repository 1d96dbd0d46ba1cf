"""y = silu(x1) * x3, with x1 and x3 side by side."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch, check_rows

# By the output's width; a tile is a number of its elements.
LAUNCHES = {9728: Launch(1024, 4), 10240: Launch(512, 4)}
DEFAULT = Launch(1024, 4)


def swiglu(x: Tensor, *, dtype: torch.dtype | None = None, launch: Launch | None = None) -> Tensor:
    """The reference's operation on a GPU; `dtype` is the output's, x's unless given."""
    check_rows(x=x)
    num_tokens, width = x.shape[0], x.shape[1] // 2
    launch = launch or LAUNCHES.get(width, DEFAULT)
    y = torch.empty((num_tokens, width), dtype=dtype or x.dtype, device=x.device)
    num_blocks = triton.cdiv(width, launch.tile)
    _swiglu[(num_tokens * num_blocks,)](
        x,
        y,
        x.stride(0),
        WIDTH=width,
        TILE=launch.tile,
        NUM_BLOCKS=num_blocks,
        num_warps=launch.warps,
    )
    return y


@triton.jit
def silu(x):
    """x * sigmoid(x); float32 in and out. exp overflows to infinity and the quotient to -0."""
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _swiglu(
    x_ptr,
    y_ptr,
    x_stride,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
):
    token = (tl.program_id(0) // NUM_BLOCKS).to(tl.int64)
    column = (tl.program_id(0) % NUM_BLOCKS) * TILE + tl.arange(0, TILE)
    mask = column < WIDTH
    start = x_ptr + token * x_stride + column
    gate = tl.load(start, mask=mask, other=0.0, eviction_policy="evict_first")
    value = tl.load(start + WIDTH, mask=mask, other=0.0, eviction_policy="evict_first")
    y = silu(gate.to(tl.float32)) * value.to(tl.float32)
    tl.store(y_ptr + token * WIDTH + column, y, mask=mask)
