"""scale = max |x| / 448 of each row; values = x / scale, rounded to e4m3; a row a program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import FP8, FP8_MAX, SMALLEST_AMAX, Fp8Rows, padded_width
from mezzotint.kernels.launch import Launch, check_rows

# By width; a tile is a number of rows.
LAUNCHES = {3840: Launch(1, 4)}
DEFAULT = Launch(1, 4)

FP8_MAX_TL = tl.constexpr(FP8_MAX)
SMALLEST_TL = tl.constexpr(SMALLEST_AMAX)


def quantize_rows(
    x: Tensor, *, dtype: torch.dtype | None = None, launch: Launch | None = None
) -> Fp8Rows:
    """The reference's operation on a GPU; `dtype` is that of the values, e4m3 unless given."""
    check_rows(x=x)
    num_rows, width = x.shape
    launch = launch or LAUNCHES.get(width, DEFAULT)
    y = empty_rows(num_rows, width, x.device, dtype)
    _quantize_rows[(triton.cdiv(num_rows, launch.tile),)](
        x,
        y.values,
        y.scale,
        num_rows,
        x.stride(0),
        WIDTH=width,
        PADDED=y.values.shape[1],
        BLOCK=triton.next_power_of_2(y.values.shape[1]),
        TILE=launch.tile,
        num_warps=launch.warps,
    )
    return y


def empty_rows(
    num_rows: int, width: int, device: torch.device, dtype: torch.dtype | None = None
) -> Fp8Rows:
    """Rows for a kernel to fill; `dtype` other than e4m3 is for Triton's interpreter."""
    return Fp8Rows(
        torch.empty(num_rows, padded_width(width), dtype=dtype or FP8, device=device),
        torch.empty(num_rows, 1, dtype=torch.float32, device=device),
    )


@triton.jit
def row_scale(amax):
    """The scale that maps a row's largest magnitude to the largest e4m3."""
    return tl.maximum(amax, SMALLEST_TL) / FP8_MAX_TL


@triton.jit
def to_fp8(y, scale):
    """y / scale, held within e4m3 where rounding would step over its end."""
    return tl.minimum(tl.maximum(y / scale, -FP8_MAX_TL), FP8_MAX_TL)


@triton.jit
def store_rows(y, values_ptr, scale_ptr, row, column, rows, PADDED: tl.constexpr):
    """Quantise rows [TILE, BLOCK], zero beyond their width, and store them with their scales."""
    scale = row_scale(tl.max(tl.abs(y), 1))
    tl.store(scale_ptr + row, scale, mask=rows)
    mask = rows[:, None] & (column < PADDED)[None, :]
    tl.store(values_ptr + row[:, None] * PADDED + column[None, :], to_fp8(y, scale[:, None]), mask)


@triton.jit(do_not_specialize=["num_rows"])
def _quantize_rows(
    x_ptr,
    values_ptr,
    scale_ptr,
    num_rows,
    x_stride,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    column = tl.arange(0, BLOCK)
    rows = row < num_rows
    mask = rows[:, None] & (column < WIDTH)[None, :]
    places = row[:, None] * x_stride + column[None, :]
    x = tl.load(x_ptr + places, mask=mask, other=0.0, eviction_policy="evict_first")
    store_rows(x.to(tl.float32), values_ptr, scale_ptr, row, column, rows, PADDED)
