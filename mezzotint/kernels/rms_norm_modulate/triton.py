"""y = x / sqrt(mean(x^2) + eps) * w * scale[segment], a few tokens a program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import Rows
from mezzotint.kernels.launch import Launch, check_rows
from mezzotint.kernels.quantize_rows.triton import empty_rows, store_rows

# By width; a tile is a number of tokens.
LAUNCHES = {2560: Launch(1, 4), 3840: Launch(1, 4)}
DEFAULT = Launch(1, 4)


def rms_norm_modulate(
    x: Tensor,
    weight: Tensor,
    eps: float,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Rows:
    """The reference's operation on a GPU; `dtype` is the output's, x's or e4m3 unless given."""
    check_rows(x=x, scale=scale)
    num_tokens, width = x.shape
    launch = launch or LAUNCHES.get(width, DEFAULT)
    y, values, row_scales = outputs(x, quantize, dtype)
    _rms_norm_modulate[(triton.cdiv(num_tokens, launch.tile),)](
        x,
        weight,
        scale,
        index,
        values,
        row_scales,
        num_tokens,
        x.stride(0),
        row_stride(scale),
        eps,
        WIDTH=width,
        PADDED=values.shape[1],
        BLOCK=triton.next_power_of_2(values.shape[1]),
        TILE=launch.tile,
        num_warps=launch.warps,
    )
    return y


def outputs(
    x: Tensor, quantize: bool, dtype: torch.dtype | None
) -> tuple[Rows, Tensor, Tensor | None]:
    """A result shaped like x for a kernel to fill -> it, its values, its rows' scales if any."""
    if quantize:
        y = empty_rows(x.shape[0], x.shape[1], x.device, dtype)
        return y, y.values, y.scale
    plain = torch.empty(x.shape, dtype=dtype or x.dtype, device=x.device)
    return plain, plain, None


def row_stride(table: Tensor | None) -> int:
    """From one row of a per-segment table to the next; 0 lets a single row serve every token."""
    return 0 if table is None or table.shape[0] == 1 else table.stride(0)


@triton.jit
def rms_rows(x, eps, WIDTH: tl.constexpr):
    """Rows [TILE, BLOCK], zero beyond WIDTH, divided by their root mean square."""
    return x * tl.rsqrt(tl.sum(x * x, 1) / WIDTH + eps)[:, None]


@triton.jit
def gather_rows(table_ptr, index_ptr, stride, token, column, mask):
    """Each token's row of a per-segment table, or its only row when there is no index."""
    if index_ptr is not None:
        segment = tl.load(index_ptr + token, mask=mask)  # masked tokens stay at the table's start
        segment = tl.where(mask, segment, 0).to(tl.int64)
        table_ptr += segment[:, None] * stride
    return table_ptr + column[None, :]


@triton.jit(do_not_specialize=["num_tokens"])
def _rms_norm_modulate(
    x_ptr,
    weight_ptr,
    scale_ptr,
    index_ptr,
    y_ptr,
    y_scale_ptr,
    num_tokens,
    x_stride,
    scale_stride,
    eps,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    column = tl.arange(0, BLOCK)
    columns = column < WIDTH
    mask = (token < num_tokens)[:, None] & columns[None, :]
    x = tl.load(
        x_ptr + token[:, None] * x_stride + column[None, :],
        mask=mask,
        other=0.0,
        eviction_policy="evict_first",  # read once; the tables are read again and stay cached
    )
    weight = tl.load(weight_ptr + column, mask=columns, other=0.0).to(tl.float32)
    y = rms_rows(x.to(tl.float32), eps, WIDTH) * weight[None, :]
    if scale_ptr is not None:
        rows = gather_rows(scale_ptr, index_ptr, scale_stride, token, column, token < num_tokens)
        y *= tl.load(rows, mask=columns[None, :], other=0.0)
    if y_scale_ptr is not None:
        store_rows(y, y_ptr, y_scale_ptr, token, column, token < num_tokens, PADDED)
    else:
        tl.store(y_ptr + token[:, None] * WIDTH + column[None, :], y, mask=mask)
