"""y = silu((x - mean_g) / sqrt(var_g + eps) * w + b), over groups of channels.

Three launches: every channel's sums by slices of the picture (so that one picture fills the
chip), the affine map a * x + s of every channel, and its application.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch
from mezzotint.kernels.swiglu.triton import silu as silu_

NUM_SLICES = 512  # about four programs for each of a Hopper's 132 multiprocessors
# By the number of channels; a tile is a number of elements.
LAUNCHES = {128: Launch(4096, 4), 256: Launch(4096, 4), 512: Launch(4096, 4)}
DEFAULT = Launch(4096, 4)


def group_norm_silu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    num_groups: int,
    eps: float,
    silu: bool = True,
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; made for channels-last pictures, right for others.

    The output lies in memory as x does; `dtype` is the output's, x's unless given.
    """
    channels_last = _is_channels_last(x)
    batch, channels, height, width = x.shape
    launch = launch or LAUNCHES.get(channels, DEFAULT)
    block = triton.next_power_of_2(channels)
    rows = max(1, launch.tile // block)
    sums = torch.empty((batch, NUM_SLICES, 2, channels), dtype=torch.float32, device=x.device)
    affine = torch.empty((batch, 2, channels), dtype=torch.float32, device=x.device)
    y = torch.empty_like(x, dtype=dtype or x.dtype)
    size, per_group = height * width, channels // num_groups
    _sum_slices[(NUM_SLICES, batch)](
        x, sums, size, channels, per_group, block, rows, NUM_SLICES, channels_last,
        num_warps=launch.warps,
    )  # fmt: skip
    _affine[(batch * num_groups,)](
        x, sums, weight, bias, affine, size, eps, channels, per_group,
        triton.next_power_of_2(per_group), NUM_SLICES, channels_last, num_warps=4,
    )  # fmt: skip
    _apply[(triton.cdiv(size, rows), batch)](
        x, affine, y, size, channels, block, rows, channels_last, silu, num_warps=launch.warps
    )
    return y


def _is_channels_last(x: Tensor) -> bool:
    if x.is_contiguous(memory_format=torch.channels_last):
        return True
    if not x.is_contiguous():
        raise ValueError(
            f"a batch of shape {tuple(x.shape)} has strides {x.stride()}; group_norm_silu reads "
            "dense pictures: call .contiguous(memory_format=torch.channels_last)"
        )
    return False


@triton.jit(do_not_specialize=["size"])
def _sum_slices(
    x_ptr,
    sums_ptr,
    size,
    CHANNELS: tl.constexpr,
    PER_GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SLICES: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """sums[batch, slice] = each channel's sum of (x - pivot) and of its square."""
    slice_, batch = tl.program_id(0), tl.program_id(1)
    channel = tl.arange(0, BLOCK)
    x_ptr += batch.to(tl.int64) * CHANNELS * size
    pivot = _pivot(x_ptr, channel // PER_GROUP, size, CHANNELS, PER_GROUP, CHANNELS_LAST)
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    squares = tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(slice_ * ROWS, size, SLICES * ROWS):
        places, mask = _places(start, channel, size, CHANNELS, ROWS, CHANNELS_LAST)
        x = tl.load(x_ptr + places, mask=mask, other=0.0).to(tl.float32)
        x = tl.where(mask, x - pivot[None, :], 0.0)
        total += x
        squares += x * x
    sums_ptr += (batch * SLICES + slice_).to(tl.int64) * 2 * CHANNELS
    tl.store(sums_ptr + channel, tl.sum(total, 0), mask=channel < CHANNELS)
    tl.store(sums_ptr + CHANNELS + channel, tl.sum(squares, 0), mask=channel < CHANNELS)


@triton.jit(do_not_specialize=["size"])
def _affine(
    x_ptr,
    sums_ptr,
    weight_ptr,
    bias_ptr,
    affine_ptr,
    size,
    eps,
    CHANNELS: tl.constexpr,
    PER_GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    SLICES: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """affine[batch, 0] = a and affine[batch, 1] = s, so that y = a * x + s; a group a program."""
    GROUPS: tl.constexpr = CHANNELS // PER_GROUP
    batch, group = (tl.program_id(0) // GROUPS).to(tl.int64), tl.program_id(0) % GROUPS
    member = tl.arange(0, BLOCK)
    channel, mask = group * PER_GROUP + member, member < PER_GROUP
    row = batch * SLICES + tl.arange(0, SLICES)
    places = row[:, None] * (2 * CHANNELS) + channel[None, :]
    num = size.to(tl.float32) * PER_GROUP
    total = tl.load(sums_ptr + places, mask=mask[None, :], other=0.0)
    squares = tl.load(sums_ptr + CHANNELS + places, mask=mask[None, :], other=0.0)
    shift = tl.sum(tl.sum(total, 0), 0) / num
    variance = tl.maximum(tl.sum(tl.sum(squares, 0), 0) / num - shift * shift, 0.0)
    x_ptr += batch * CHANNELS * size
    mean = shift + _pivot(x_ptr, group, size, CHANNELS, PER_GROUP, CHANNELS_LAST)
    weight = tl.load(weight_ptr + channel, mask=mask, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + channel, mask=mask, other=0.0).to(tl.float32)
    scale = weight * tl.rsqrt(variance + eps)
    affine_ptr += batch * 2 * CHANNELS + channel
    tl.store(affine_ptr, scale, mask=mask)
    tl.store(affine_ptr + CHANNELS, bias - mean * scale, mask=mask)


@triton.jit(do_not_specialize=["size"])
def _apply(
    x_ptr,
    affine_ptr,
    y_ptr,
    size,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    SILU: tl.constexpr,
):
    # Backwards: what the sums read last is still in the L2 cache.
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    batch = (tl.num_programs(1) - 1 - tl.program_id(1)).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    affine_ptr += batch * 2 * CHANNELS + channel
    scale = tl.load(affine_ptr, mask=channel < CHANNELS, other=0.0)
    shift = tl.load(affine_ptr + CHANNELS, mask=channel < CHANNELS, other=0.0)
    places, mask = _places(tile * ROWS, channel, size, CHANNELS, ROWS, CHANNELS_LAST)
    places += batch * CHANNELS * size
    x = tl.load(x_ptr + places, mask=mask, other=0.0, eviction_policy="evict_first")
    y = x.to(tl.float32) * scale[None, :] + shift[None, :]
    if SILU:
        y = silu_(y)
    tl.store(y_ptr + places, y, mask=mask)


@triton.jit
def _places(
    start,
    channel,
    size,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """Where ROWS pixels from `start` lie in one picture. -> offsets and mask [ROWS, BLOCK]."""
    pixel = (start + tl.arange(0, ROWS)).to(tl.int64)
    mask = (pixel < size)[:, None] & (channel < CHANNELS)[None, :]
    if CHANNELS_LAST:
        places = pixel[:, None] * CHANNELS + channel[None, :]
    else:
        places = channel[None, :].to(tl.int64) * size + pixel[:, None]
    return places, mask


@triton.jit
def _pivot(
    x_ptr,
    group,
    size,
    CHANNELS: tl.constexpr,
    PER_GROUP: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """The first element of each group: E[(x - p)^2] - E[x - p]^2 cancels little near the mean."""
    channel = tl.minimum(group * PER_GROUP, CHANNELS - PER_GROUP)  # padding reads the last group
    place = channel if CHANNELS_LAST else channel.to(tl.int64) * size
    return tl.load(x_ptr + place).to(tl.float32)
