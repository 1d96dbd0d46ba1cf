"""softmax(q k^T / sqrt(D)) v within each segment, both products in e4m3.

A pass over v lays it out as tensor cores want the right-hand side of a product in FP8, keys side by
side: [H, D, T], each block of 128 tokens of a head divided by a power of two 2^b. With s in units
of log2, m the row's running maximum of s + b, rounded up, and P the numerators in e4m3,

    P = 2^(s + b - m + 8),   sum += rowsum(P) 2^-b,   y += P (v 2^-b),

so P fills e4m3's range wherever v is large, and all scales being powers of two, neither where a
segment begins nor the order of the keys changes how a number is rounded.

Tensor cores leave a row's scores four threads apart and want P two by two in another order: tokens
are permuted within each 16 in v's copy, and P needs no exchange between threads.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from mezzotint.kernels.attention_fp8.launch import Launch
from mezzotint.kernels.attention_fp8.reference import (
    BLOCK,
    LOG2_E,
    P_BITS,
    SMALLEST,
    check_heads,
)
from mezzotint.kernels.fp8 import FP8, FP8_MAX
from mezzotint.kernels.segments import Segments

LAUNCHES = {128: Launch(64, 128, 4, 3)}  # by the width of a head
DEFAULT = Launch(64, 64, 4, 2)

BLOCK_TL = tl.constexpr(BLOCK)
FP8_MAX_TL = tl.constexpr(FP8_MAX)
P_BITS_TL = tl.constexpr(P_BITS)
SMALLEST_TL = tl.constexpr(SMALLEST)


def attention_fp8(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Segments,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; `dtype`, of v's copy, P and y, is for the interpreter."""
    check_heads(q, k, v)
    num_tokens, num_heads, head_dim = v.shape
    launch = launch or LAUNCHES.get(head_dim, DEFAULT)
    copy, exponents = _values(v, segments, dtype or FP8)
    y = torch.empty(num_tokens, num_heads * head_dim, dtype=dtype or v.dtype, device=v.device)
    num_segments = segments.cu_seqlens.shape[0] - 1
    options = {} if launch.registers is None else {"maxnreg": launch.registers}
    _attention[(_num_tiles(segments, num_tokens, launch.tile), num_heads)](
        _described(q, launch.tile),
        _described(k, launch.keys),
        TensorDescriptor.from_tensor(copy, [head_dim, launch.keys]),
        exponents,
        segments.cu_seqlens,
        y,
        num_tokens,
        num_segments,
        LOG2_E / head_dim**0.5,
        HEADS=num_heads,
        HEAD_DIM=head_dim,
        TILE=launch.tile,
        KEYS=launch.keys,
        STAGES=launch.stages,
        WIDE=launch.wide,
        num_warps=launch.warps,
        num_stages=launch.stages,
        **options,
    )
    return y


def _values(v: Tensor, segments: Segments, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """v [T, H, D] -> [H * D, T'], T' a multiple of a block, and b of each block [H, T' / block]."""
    num_tokens, num_heads, head_dim = v.shape
    num_blocks = triton.cdiv(num_tokens, BLOCK)
    copy = torch.empty(num_heads * head_dim, num_blocks * BLOCK, dtype=dtype, device=v.device)
    exponents = torch.empty(num_heads, num_blocks, dtype=torch.int8, device=v.device)
    _quantize_values[(num_blocks, num_heads)](
        v,
        copy,
        exponents,
        segments.cu_seqlens,
        segments.cu_seqlens.shape[0] - 1,
        num_blocks,
        v.stride(0),
        HEAD_DIM=head_dim,
        num_warps=8,
    )
    return copy, exponents


def _described(x: Tensor, num_rows: int) -> TensorDescriptor:
    """x [T, H, D] as a matrix of which some rows of one head are read at a time."""
    num_tokens, num_heads, head_dim = x.shape
    shape = [num_tokens, num_heads * head_dim]
    return TensorDescriptor(x, shape, [x.stride(0), 1], [num_rows, head_dim])


def _num_tiles(segments: Segments, num_tokens: int, tile: int) -> int:
    """Programs a head: exactly, or the most that any bounds of so many segments take."""
    if segments.bounds is None:  # what no segment owns is one more, to be filled with zeros
        return (num_tokens + segments.cu_seqlens.shape[0] * (tile - 1)) // tile
    return sum(triton.cdiv(length, tile) for length in segments.lengths)


@triton.jit(do_not_specialize=["num_segments", "num_blocks"])
def _quantize_values(
    v_ptr,
    copy_ptr,
    exponents_ptr,
    bounds_ptr,
    num_segments,
    num_blocks,
    v_stride,
    HEAD_DIM: tl.constexpr,
):
    block, head = tl.program_id(0), tl.program_id(1)
    token = block * BLOCK_TL + tl.arange(0, BLOCK_TL)
    column = head * HEAD_DIM + tl.arange(0, HEAD_DIM)
    owned = token < tl.load(bounds_ptr + num_segments)
    places = token.to(tl.int64)[:, None] * v_stride + column[None, :]
    v = tl.load(v_ptr + places, mask=owned[:, None], other=0.0).to(tl.float32)
    amax = tl.maximum(tl.max(tl.max(tl.abs(v), 1), 0), SMALLEST_TL)
    exponent = tl.ceil(tl.log2(amax / FP8_MAX_TL))
    tl.store(exponents_ptr + head * num_blocks + block, exponent.to(tl.int8))
    v = tl.minimum(tl.maximum(v * tl.exp2(-exponent), -FP8_MAX_TL), FP8_MAX_TL)
    v = _permute_keys(tl.trans(v.to(copy_ptr.dtype.element_ty)))
    row = column.to(tl.int64)[:, None] * (num_blocks * BLOCK_TL)
    tl.store(copy_ptr + row + token[None, :], v)


@triton.jit
def _permute_keys(x):
    """Key 16 j + 8 i + 2 t + e of x [rows, keys] goes to 16 j + 4 t + 2 i + e."""
    ROWS: tl.constexpr = x.shape[0]
    KEYS: tl.constexpr = x.shape[1]
    parts = tl.reshape(x, (ROWS, KEYS // 16, 2, 4, 2))
    return tl.reshape(tl.permute(parts, (0, 1, 3, 2, 4)), (ROWS, KEYS))


@triton.jit(do_not_specialize=["num_tokens", "num_segments"])
def _attention(
    q_rows,
    k_rows,
    v_columns,
    exponents_ptr,
    bounds_ptr,
    y_ptr,
    num_tokens,
    num_segments,
    scale,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    TILE: tl.constexpr,
    KEYS: tl.constexpr,
    STAGES: tl.constexpr,
    WIDE: tl.constexpr,
):
    head = tl.program_id(1)
    column = head * HEAD_DIM
    row, start, end, owned = _find_rows(
        tl.program_id(0), bounds_ptr, num_segments, num_tokens, TILE
    )
    exponents_ptr += head * tl.cdiv(num_tokens, BLOCK_TL)
    q = q_rows.load([row, column])
    top = tl.full((TILE,), float("-inf"), tl.float32)
    total = tl.zeros((TILE,), tl.float32)
    y = tl.zeros((TILE, HEAD_DIM), tl.float32)
    first = start // KEYS * KEYS  # v's blocks have one scale each: turns lie on their grid
    for n in tl.range(first, tl.where(owned, end, first), KEYS, num_stages=STAGES):
        b = tl.load(exponents_ptr + n // BLOCK_TL).to(tl.float32)
        s = tl.dot(q, tl.trans(k_rows.load([n, column])))
        if (n < start) | (n + KEYS > end):  # shared with a neighbour: the first and last at most
            key = n + tl.arange(0, KEYS)
            s = tl.where(((key >= start) & (key < end))[None, :], s, float("-inf"))
        top, total, y = _turn(s, b, v_columns.load([column, n]), top, total, y, scale, WIDE)
    y = y / tl.where(total > 0, total, 1.0)[:, None]
    rows = row + tl.arange(0, TILE)
    places = rows.to(tl.int64)[:, None] * (HEADS * HEAD_DIM) + column
    tl.store(y_ptr + places + tl.arange(0, HEAD_DIM)[None, :], y, mask=(rows < end)[:, None])


@triton.jit
def _turn(s, b, v, top, total, y, scale, WIDE: tl.constexpr):
    """Take one turn's keys into a row's maximum, sum and product. s [TILE, KEYS], v [D, KEYS]."""
    new_top = tl.maximum(top, tl.ceil(tl.max(s, 1) * scale + b))
    p = tl.exp2(s * scale - (new_top - b - P_BITS_TL)[:, None])
    shrink = tl.exp2(top - new_top)
    total = total * shrink + tl.sum(p, 1) * tl.exp2(-b)
    p = _permute_keys(p.to(v.dtype))
    if WIDE:
        y = y * shrink[:, None] + tl.dot(p, tl.trans(v))
    else:
        y = tl.dot(p, tl.trans(v), y * shrink[:, None])
    return new_top, total, y


@triton.jit
def _find_rows(tile, bounds_ptr, num_segments, num_tokens, TILE: tl.constexpr):
    """A program's first row, its segment's start and end, and whether that is anybody's.

    What lies beyond the last bound is one segment more, which is nobody's; beyond that, row >= end.
    """
    row, start, end, owned = 0, 0, 0, num_segments < 0
    for segment in tl.range(0, num_segments + 1, num_stages=1):
        left = tl.load(bounds_ptr + segment)
        right = tl.load(bounds_ptr + segment + 1, mask=segment < num_segments, other=num_tokens)
        here = (tile >= 0) & (tile * TILE < right - left)
        row = tl.where(here, left + tile * TILE, row)
        start = tl.where(here, left, start)
        end = tl.where(here, right, end)
        owned = tl.where(here, segment < num_segments, owned)
        tile -= tl.cdiv(right - left, TILE)  # from here on, below 0: found
    return row, start, end, owned
