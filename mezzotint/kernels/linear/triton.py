"""y = x W^T of tokens and FP8 rows, which are read as e4m3 and widened in registers.

A prompt has so few tokens that reading the weight is the whole cost. A program makes a tile of y^T:
tensor cores take the weight, as their left side, out of registers and the tokens out of shared
memory. Where the columns are too few for all multiprocessors, several programs share a tile's sum:
each writes its part in float32, and a second kernel adds them in order, so that bits stay the same.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import Fp8Rows
from mezzotint.kernels.launch import check_rows
from mezzotint.kernels.linear.launch import Launch
from mezzotint.kernels.linear.reference import check_widths

# By the weight's shape [N, K], then by the most tokens.
LAUNCHES = {
    (6144, 2560): {64: Launch(64, 64, 128, 4, 4, 2), 128: Launch(64, 128, 128, 4, 3)},
    (2560, 4096): {
        64: Launch(64, 64, 128, 4, 4, 4),
        128: Launch(64, 128, 128, 4, 3, 4),
        512: Launch(128, 128, 64, 8, 4, 3),
    },
    (19456, 2560): {64: Launch(64, 64, 128, 4, 4), 128: Launch(64, 128, 128, 4, 3)},
    (2560, 9728): {
        64: Launch(64, 64, 128, 4, 4, 4),
        128: Launch(64, 128, 128, 4, 3, 4),
        512: Launch(128, 128, 64, 8, 4, 3),
    },
}
MANY = Launch(128, 128, 64, 8, 4)  # of more tokens: they keep the tensor cores busy
DEFAULT = {64: Launch(64, 64, 64, 4, 4), 128: Launch(64, 128, 64, 4, 3)}
SUM_TILE = 1024


def linear(
    x: Tensor,
    weight: Fp8Rows,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; `dtype` is the output's, x's unless given."""
    check_rows(x=x, weight=weight.values)
    check_widths(x, weight)
    (num_tokens, width), num_columns = x.shape, weight.values.shape[0]
    launch = launch or choose(num_tokens, num_columns, width)
    y = torch.empty((num_tokens, num_columns), dtype=dtype or x.dtype, device=x.device)
    parts = y
    if launch.splits > 1:
        parts = torch.empty((launch.splits, *y.shape), dtype=torch.float32, device=x.device)
    token_tiles = triton.cdiv(num_tokens, launch.tokens)
    _linear[(token_tiles * triton.cdiv(num_columns, launch.columns), launch.splits)](
        x,
        weight.values,
        weight.scale,
        parts,
        num_tokens,
        num_columns,
        width,
        x.stride(0),
        weight.values.stride(0),
        token_tiles,
        COLUMNS=launch.columns,
        TOKENS=launch.tokens,
        DEPTH=launch.depth,
        SPLITS=launch.splits,
        STAGES=launch.stages,
        EVEN=width % launch.depth == 0,
        num_warps=launch.warps,
    )
    if launch.splits > 1:
        _add_parts[(triton.cdiv(y.numel(), SUM_TILE),)](
            parts, y, y.numel(), SPLITS=launch.splits, TILE=SUM_TILE, num_warps=4
        )
    return y


def choose(num_tokens: int, num_columns: int, width: int) -> Launch:
    """The table's launch: few classes of tokens, so that a new number compiles nothing."""
    classes = LAUNCHES.get((num_columns, width), DEFAULT)
    return next((launch for most, launch in classes.items() if num_tokens <= most), MANY)


@triton.jit(do_not_specialize=["num_tokens", "token_tiles"])
def _linear(
    x_ptr,
    values_ptr,
    scale_ptr,
    y_ptr,
    num_tokens,
    num_columns,
    width,
    x_stride,
    values_stride,
    token_tiles,
    COLUMNS: tl.constexpr,
    TOKENS: tl.constexpr,
    DEPTH: tl.constexpr,
    SPLITS: tl.constexpr,
    STAGES: tl.constexpr,
    EVEN: tl.constexpr,
):
    # Programs that read the same rows of the weight run side by side: only the first waits for it.
    column = tl.program_id(0) // token_tiles * COLUMNS + tl.arange(0, COLUMNS)
    token = tl.program_id(0) % token_tiles * TOKENS + tl.arange(0, TOKENS)
    columns, tokens = column < num_columns, token < num_tokens
    k = tl.arange(0, DEPTH)
    x_places = x_ptr + token.to(tl.int64)[:, None] * x_stride + k[None, :]
    values_places = values_ptr + column.to(tl.int64)[:, None] * values_stride + k[None, :]
    share = tl.cdiv(tl.cdiv(width, DEPTH), SPLITS) * DEPTH
    start = tl.program_id(1) * share
    y = tl.zeros((COLUMNS, TOKENS), tl.float32)
    for n in tl.range(start, tl.minimum(start + share, width), DEPTH, num_stages=STAGES):
        if EVEN:
            values = tl.load(values_places + n, mask=columns[:, None])
            x = tl.load(x_places + n, mask=tokens[:, None], other=0.0)
        else:
            inside = (n + k < width)[None, :]
            values = tl.load(values_places + n, mask=columns[:, None] & inside, other=0.0)
            x = tl.load(x_places + n, mask=tokens[:, None] & inside, other=0.0)
        y = tl.dot(values.to(tl.float32).to(x.dtype), tl.trans(x), y, input_precision="ieee")
    y *= tl.load(scale_ptr + column, mask=columns, other=0.0)[:, None]
    row = tl.program_id(1).to(tl.int64) * num_tokens + token
    places = row[None, :] * num_columns + column[:, None]
    tl.store(y_ptr + places, y, mask=columns[:, None] & tokens[None, :])


@triton.jit(do_not_specialize=["num_elements"])
def _add_parts(parts_ptr, y_ptr, num_elements, SPLITS: tl.constexpr, TILE: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    mask = place < num_elements
    y = tl.zeros((TILE,), tl.float32)
    for part in tl.static_range(SPLITS):
        start = parts_ptr + part * num_elements.to(tl.int64)
        y += tl.load(start + place, mask=mask, other=0.0, eviction_policy="evict_first")
    tl.store(y_ptr + place, y, mask=mask)
