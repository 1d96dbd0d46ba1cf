"""x' = x + gate[segment] * rms(branch) * w_post; h = rms(x') * w_pre * scale[segment].

x and branch are read once, x' and h written once: four streams, no more. Programs stay and walk
over tokens: where one row of gate and scale serves every token (one request, or several at one
time), weights and tables are read once a program instead of once a token, which at 3840 channels
is more than the streams themselves. The next token is on its way while this one is worked on.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import Product, Rows, scales
from mezzotint.kernels.launch import Launch, check_rows
from mezzotint.kernels.product.triton import scale_of
from mezzotint.kernels.quantize_rows.triton import row_scale, to_fp8
from mezzotint.kernels.rms_norm_modulate.triton import outputs, row_stride

# By width; a tile is a number of programs a multiprocessor.
LAUNCHES = {3840: Launch(4, 4)}
DEFAULT = Launch(4, 4)


def residual_norm(
    x: Tensor,
    branch: Product,
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
    branch: Product,
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
    h, values, h_scale = outputs(x, quantize, dtype)
    _launch(x, branch, post_weight, pre_weight, eps, gate, scale, index, y, values, h_scale, launch)
    return y, h


def _launch(
    x: Tensor,
    branch: Product,
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
    branch, branch_scale, branch_factor = scales(branch)
    check_rows(x=x, branch=branch, gate=gate, scale=scale)
    num_tokens, width = x.shape
    padded = width if h is None else h.shape[1]
    launch = launch or LAUNCHES.get(width, DEFAULT)
    strides = (row_stride(gate), row_stride(scale))
    num_programs = min(num_tokens, launch.tile * _num_multiprocessors(x.device))
    _residual_norm[(num_programs,)](
        x,
        branch,
        branch_scale,
        branch_factor,
        post_weight,
        pre_weight,
        gate,
        scale,
        index if any(strides) else None,
        y,
        h,
        h_scale,
        num_tokens,
        num_programs,
        x.stride(0),
        branch.stride(0),
        *strides,
        eps,
        WIDTH=width,
        PADDED=padded,
        BLOCK=triton.next_power_of_2(padded),
        num_warps=launch.warps,
    )


@lru_cache(maxsize=16)
def _num_multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 2  # Triton's interpreter: few programs, so that each takes several tokens
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def _rms(x, eps, WIDTH: tl.constexpr):
    """A row, zero beyond WIDTH, divided by its root mean square."""
    return x * tl.rsqrt(tl.sum(x * x, 0) / WIDTH + eps)


@triton.jit
def _factor(weight_ptr, table_ptr, column, WIDTH: tl.constexpr):
    """A norm's weight times one row of its table, if there is one; float32."""
    mask = column < WIDTH
    weight = tl.load(weight_ptr + column, mask=mask, other=0.0).to(tl.float32)
    if table_ptr is not None:
        weight *= tl.load(table_ptr + column, mask=mask, other=0.0)
    return weight


@triton.jit(do_not_specialize=["num_tokens", "num_programs"])
def _residual_norm(
    x_ptr,
    branch_ptr,
    branch_scale_ptr,
    branch_factor_ptr,
    post_weight_ptr,
    pre_weight_ptr,
    gate_ptr,
    scale_ptr,
    index_ptr,
    y_ptr,
    h_ptr,
    h_scale_ptr,
    num_tokens,
    num_programs,
    x_stride,
    branch_stride,
    gate_stride,
    scale_stride,
    eps,
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    column = tl.arange(0, BLOCK)
    mask = column < WIDTH
    token = tl.program_id(0).to(tl.int64)
    x_ptr += column
    branch_ptr += column
    post = _factor(post_weight_ptr, gate_ptr, column, WIDTH)
    if h_ptr is not None:
        pre = _factor(pre_weight_ptr, scale_ptr, column, WIDTH)
    x = tl.load(x_ptr + token * x_stride, mask=mask, other=0.0)
    branch = tl.load(branch_ptr + token * branch_stride, mask=mask, other=0.0)
    branch_scale = scale_of(branch_scale_ptr, branch_factor_ptr, token)
    while token < num_tokens:
        after = token + num_programs
        coming = column < tl.where(after < num_tokens, WIDTH, 0)
        next_x = tl.load(x_ptr + after * x_stride, mask=coming, other=0.0)
        next_branch = tl.load(branch_ptr + after * branch_stride, mask=coming, other=0.0)
        next_scale = scale_of(
            branch_scale_ptr, branch_factor_ptr, tl.minimum(after, num_tokens - 1)
        )
        if index_ptr is not None:
            segment = tl.load(index_ptr + token).to(tl.int64)
            if gate_ptr is not None:
                post = _factor(post_weight_ptr, gate_ptr + segment * gate_stride, column, WIDTH)
            if scale_ptr is not None:
                pre = _factor(pre_weight_ptr, scale_ptr + segment * scale_stride, column, WIDTH)
        y = x.to(tl.float32) + _rms(branch.to(tl.float32) * branch_scale, eps, WIDTH) * post
        # The stream's own rounding: the next norm reads what the next block will read.
        y = y.to(y_ptr.dtype.element_ty)
        tl.store(y_ptr + token * WIDTH + column, y, mask=mask)
        if h_ptr is not None:
            h = _rms(y.to(tl.float32), eps, WIDTH) * pre
            if h_scale_ptr is not None:
                scale = row_scale(tl.max(tl.abs(h), 0))
                tl.store(h_scale_ptr + token, scale)
                h = to_fp8(h, scale)
            tl.store(h_ptr + token * PADDED + column, h, mask=column < PADDED)
        token, x, branch, branch_scale = after, next_x, next_branch, next_scale
