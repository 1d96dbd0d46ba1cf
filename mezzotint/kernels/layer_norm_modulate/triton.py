"""y = (x - mean(x)) / sqrt(var(x) + eps) * scale[segment], a few tokens a program."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch, check_rows
from mezzotint.kernels.rms_norm_modulate.triton import gather_rows, row_stride

# By width; a tile is a number of tokens.
LAUNCHES = {3840: Launch(1, 4)}
DEFAULT = Launch(1, 4)


def layer_norm_modulate(
    x: Tensor,
    eps: float,
    scale: Tensor,
    index: Tensor | None = None,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; `dtype` is the output's, x's unless given."""
    check_rows(x=x, scale=scale)
    num_tokens, width = x.shape
    launch = launch or LAUNCHES.get(width, DEFAULT)
    y = torch.empty(x.shape, dtype=dtype or x.dtype, device=x.device)
    _layer_norm_modulate[(triton.cdiv(num_tokens, launch.tile),)](
        x,
        scale,
        index,
        y,
        num_tokens,
        x.stride(0),
        row_stride(scale),
        eps,
        WIDTH=width,
        BLOCK=triton.next_power_of_2(width),
        TILE=launch.tile,
        num_warps=launch.warps,
    )
    return y


@triton.jit(do_not_specialize=["num_tokens"])
def _layer_norm_modulate(
    x_ptr,
    scale_ptr,
    index_ptr,
    y_ptr,
    num_tokens,
    x_stride,
    scale_stride,
    eps,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    column = tl.arange(0, BLOCK)
    columns = (column < WIDTH)[None, :]
    mask = (token < num_tokens)[:, None] & columns
    x = tl.load(
        x_ptr + token[:, None] * x_stride + column[None, :],
        mask=mask,
        other=0.0,
        eviction_policy="evict_first",
    ).to(tl.float32)
    x = tl.where(columns, x - tl.sum(x, 1)[:, None] / WIDTH, 0.0)
    y = x * tl.rsqrt(tl.sum(x * x, 1) / WIDTH + eps)[:, None]
    rows = gather_rows(scale_ptr, index_ptr, scale_stride, token, column, token < num_tokens)
    y *= tl.load(rows, mask=columns, other=0.0)
    tl.store(y_ptr + token[:, None] * WIDTH + column[None, :], y, mask=mask)
