"""y = silu(x1) * x3, with x1 and x3 side by side."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import Fp8Rows, Product, Rows, scales
from mezzotint.kernels.launch import Launch, check_rows
from mezzotint.kernels.product.triton import scale_of
from mezzotint.kernels.quantize_rows.triton import empty_rows, row_scale, to_fp8

# By the output's width; a tile is a number of its elements.
LAUNCHES = {9728: Launch(1024, 4), 10240: Launch(512, 4)}
DEFAULT = Launch(1024, 4)
ROW_WARPS = {10240: 8}  # of a program that quantises a whole row
DEFAULT_ROW_WARPS = 4


def swiglu(
    x: Product,
    quantize: bool = False,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Rows:
    """The reference's operation on a GPU; `dtype` is the output's, x's or e4m3 unless given."""
    values, scale, factor = scales(x)
    check_rows(x=values)
    if quantize:
        return _quantized(values, scale, factor, dtype, launch)
    num_tokens, width = values.shape[0], values.shape[1] // 2
    launch = launch or LAUNCHES.get(width, DEFAULT)
    y = torch.empty((num_tokens, width), dtype=dtype or values.dtype, device=values.device)
    num_blocks = triton.cdiv(width, launch.tile)
    _swiglu[(num_tokens * num_blocks,)](
        values,
        scale,
        factor,
        y,
        values.stride(0),
        WIDTH=width,
        TILE=launch.tile,
        NUM_BLOCKS=num_blocks,
        num_warps=launch.warps,
    )
    return y


def _quantized(
    x: Tensor,
    scale: Tensor | None,
    factor: Tensor | None,
    dtype: torch.dtype | None,
    launch: Launch | None,
) -> Fp8Rows:
    num_tokens, width = x.shape[0], x.shape[1] // 2
    y = empty_rows(num_tokens, width, x.device, dtype)
    padded = y.values.shape[1]
    main = triton.next_power_of_2(padded + 1) // 2  # the largest power of two within the row
    _swiglu_fp8[(num_tokens,)](
        x,
        scale,
        factor,
        y.values,
        y.scale,
        x.stride(0),
        WIDTH=width,
        PADDED=padded,
        MAIN=main,
        REST=triton.next_power_of_2(padded - main) if padded > main else 0,
        num_warps=launch.warps if launch else ROW_WARPS.get(width, DEFAULT_ROW_WARPS),
    )
    return y


@triton.jit
def silu(x):
    """x * sigmoid(x); float32 in and out. exp overflows to infinity and the quotient to -0."""
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _gated(start, column, scale, WIDTH: tl.constexpr):
    """silu(x1) * x3 of some columns of one row, float32, zero beyond the width."""
    mask = column < WIDTH
    gate = tl.load(start + column, mask=mask, other=0.0, eviction_policy="evict_first")
    value = tl.load(start + WIDTH + column, mask=mask, other=0.0, eviction_policy="evict_first")
    return silu(gate.to(tl.float32) * scale) * (value.to(tl.float32) * scale)


@triton.jit
def _swiglu(
    x_ptr,
    x_scale_ptr,
    x_factor_ptr,
    y_ptr,
    x_stride,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
):
    token = (tl.program_id(0) // NUM_BLOCKS).to(tl.int64)
    column = (tl.program_id(0) % NUM_BLOCKS) * TILE + tl.arange(0, TILE)
    x_scale = scale_of(x_scale_ptr, x_factor_ptr, token)
    y = _gated(x_ptr + token * x_stride, column, x_scale, WIDTH)
    tl.store(y_ptr + token * WIDTH + column, y, mask=column < WIDTH)


@triton.jit
def _swiglu_fp8(
    x_ptr,
    x_scale_ptr,
    x_factor_ptr,
    values_ptr,
    scale_ptr,
    x_stride,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    MAIN: tl.constexpr,
    REST: tl.constexpr,
):
    # A row spans two blocks, so that 10240 = 8192 + 2048 columns leave no lane idle.
    token = tl.program_id(0).to(tl.int64)
    start, out = x_ptr + token * x_stride, values_ptr + token * PADDED
    column = tl.arange(0, MAIN)
    x_scale = scale_of(x_scale_ptr, x_factor_ptr, token)
    y = _gated(start, column, x_scale, WIDTH)
    amax = tl.max(tl.abs(y), 0)
    if REST > 0:
        last = MAIN + tl.arange(0, REST)
        z = _gated(start, last, x_scale, WIDTH)
        amax = tl.maximum(amax, tl.max(tl.abs(z), 0))
        scale = row_scale(amax)
        tl.store(out + last, to_fp8(z, scale), mask=last < PADDED)
    else:
        scale = row_scale(amax)
    tl.store(out + column, to_fp8(y, scale))
    tl.store(scale_ptr + token, scale)
