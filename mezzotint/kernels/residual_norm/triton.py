"""x' = x + gate[segment] * rms(branch) * w_post; h = rms(x') * w_pre * scale[segment].

x and branch are read once, x' and h written once: four streams, no more.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import Rows
from mezzotint.kernels.launch import Launch, check_rows
from mezzotint.kernels.quantize_rows.triton import store_rows
from mezzotint.kernels.rms_norm_modulate.triton import (
    gather_rows,
    outputs,
    rms_rows,
    row_stride,
)

# By width; a tile is a number of tokens.
LAUNCHES = {3840: Launch(1, 8)}
DEFAULT = Launch(1, 4)


def residual_norm(
    x: Tensor,
    branch: Tensor,
    weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    index: Tensor | None = None,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; `dtype` is the output's, x's unless given."""
    y = torch.empty(x.shape, dtype=dtype or x.dtype, device=x.device)
    _launch(x, branch, weight, None, eps, gate, None, index, y, None, None, launch)
    return y


def residual_norm_modulate(
    x: Tensor,
    branch: Tensor,
    post_weight: Tensor,
    pre_weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> tuple[Tensor, Rows]:
    """The reference's operation on a GPU; `dtype` is both outputs', their own unless given."""
    y = torch.empty(x.shape, dtype=dtype or x.dtype, device=x.device)
    h, values, scales = outputs(x, quantize, dtype)
    _launch(x, branch, post_weight, pre_weight, eps, gate, scale, index, y, values, scales, launch)
    return y, h


def _launch(
    x: Tensor,
    branch: Tensor,
    post_weight: Tensor,
    pre_weight: Tensor | None,
    eps: float,
    gate: Tensor | None,
    scale: Tensor | None,
    index: Tensor | None,
    y: Tensor,
    h: Tensor | None,
    h_scale: Tensor | None,
    launch: Launch | None,
) -> None:
    check_rows(x=x, branch=branch, gate=gate, scale=scale)
    num_tokens, width = x.shape
    padded = width if h is None else h.shape[1]
    launch = launch or LAUNCHES.get(width, DEFAULT)
    _residual_norm[(triton.cdiv(num_tokens, launch.tile),)](
        x,
        branch,
        post_weight,
        pre_weight,
        gate,
        scale,
        index,
        y,
        h,
        h_scale,
        num_tokens,
        x.stride(0),
        branch.stride(0),
        row_stride(gate),
        row_stride(scale),
        eps,
        WIDTH=width,
        PADDED=padded,
        BLOCK=triton.next_power_of_2(padded),
        TILE=launch.tile,
        num_warps=launch.warps,
    )


@triton.jit(do_not_specialize=["num_tokens"])
def _residual_norm(
    x_ptr,
    branch_ptr,
    post_weight_ptr,
    pre_weight_ptr,
    gate_ptr,
    scale_ptr,
    index_ptr,
    y_ptr,
    h_ptr,
    h_scale_ptr,
    num_tokens,
    x_stride,
    branch_stride,
    gate_stride,
    scale_stride,
    eps,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    column = tl.arange(0, BLOCK)
    tokens, columns = token < num_tokens, column < WIDTH
    mask = tokens[:, None] & columns[None, :]
    places = token[:, None] * branch_stride + column[None, :]
    branch = tl.load(branch_ptr + places, mask=mask, other=0.0, eviction_policy="evict_first")
    places = token[:, None] * x_stride + column[None, :]
    x = tl.load(x_ptr + places, mask=mask, other=0.0, eviction_policy="evict_first")
    weight = tl.load(post_weight_ptr + column, mask=columns, other=0.0).to(tl.float32)
    y = rms_rows(branch.to(tl.float32), eps, WIDTH) * weight[None, :]
    if gate_ptr is not None:
        rows = gather_rows(gate_ptr, index_ptr, gate_stride, token, column, tokens)
        y *= tl.load(rows, mask=columns[None, :], other=0.0)
    # The stream's own rounding: the next norm reads what the next block will read.
    y = (x.to(tl.float32) + y).to(y_ptr.dtype.element_ty)
    places = token[:, None] * WIDTH + column[None, :]
    tl.store(y_ptr + places, y, mask=mask)
    if h_ptr is not None:
        weight = tl.load(pre_weight_ptr + column, mask=columns, other=0.0).to(tl.float32)
        h = rms_rows(y.to(tl.float32), eps, WIDTH) * weight[None, :]
        if scale_ptr is not None:
            rows = gather_rows(scale_ptr, index_ptr, scale_stride, token, column, tokens)
            h *= tl.load(rows, mask=columns[None, :], other=0.0)
        if h_scale_ptr is not None:
            store_rows(h, h_ptr, h_scale_ptr, token, column, tokens, PADDED)
        else:
            tl.store(h_ptr + places, h, mask=mask)
