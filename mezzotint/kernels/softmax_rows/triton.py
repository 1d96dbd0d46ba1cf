"""y = softmax(scale x) of each row's first columns, 0 in the others; a row a program.

Two walks along the row: its maximum and sum, then the shares. The second reads what the first left
in the cache: a row of 16384 scores is 64 kB.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.attention_fp8.reference import LOG2_E
from mezzotint.kernels.launch import Launch, check_rows

# By a row's length; a tile is a number of its elements.
LAUNCHES = {16384: Launch(16384, 16), 65536: Launch(8192, 8)}
DEFAULT = Launch(4096, 8)


def softmax_rows(
    x: Tensor,
    scale: float,
    into: torch.dtype,
    columns: int,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; `dtype`, in place of `into`, is for the interpreter."""
    check_rows(x=x)
    num_rows, width = x.shape
    launch = launch or LAUNCHES.get(width, DEFAULT)
    y = torch.empty(x.shape, dtype=dtype or into, device=x.device)
    _softmax_rows[(num_rows,)](
        x, y, width, columns, x.stride(0), scale * LOG2_E, launch.tile, num_warps=launch.warps
    )
    return y


@triton.jit(do_not_specialize=["width", "columns"])
def _softmax_rows(x_ptr, y_ptr, width, columns, x_stride, scale, TILE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    x_ptr += row * x_stride
    y_ptr += row * width
    top = tl.full((), float("-inf"), tl.float32)
    total = tl.full((), 0.0, tl.float32)
    for start in range(0, columns, TILE):
        column = start + tl.arange(0, TILE)
        x = tl.load(x_ptr + column, mask=column < columns, other=float("-inf")) * scale
        new_top = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp2(top - new_top) + tl.sum(tl.exp2(x - new_top), 0)
        top = new_top
    for start in range(0, width, TILE):
        column = start + tl.arange(0, TILE)
        x = tl.load(x_ptr + column, mask=column < columns, other=float("-inf")) * scale
        tl.store(y_ptr + column, tl.exp2(x - top) / total, mask=column < width)
