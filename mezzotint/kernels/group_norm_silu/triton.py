"""y = silu((x - mean_g) / sqrt(var_g + eps) * w + b), over groups of channels.

Three launches: every channel's mean and spread by slices of the picture (so that one picture
fills the chip), the affine map a * x + s of every channel, and its application.
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
LAUNCHES = {128: Launch(4096, 8), 256: Launch(4096, 8), 512: Launch(4096, 4)}
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
    affine = group_norm_affine(x, weight, bias, num_groups, eps, launch=launch)
    y = torch.empty_like(x, dtype=dtype or x.dtype)
    size = height * width
    _apply[(triton.cdiv(size, rows), batch)](
        x, affine, y, size, channels, block, rows, channels_last, silu, num_warps=launch.warps
    )
    return y


def group_norm_affine(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    num_groups: int,
    eps: float,
    *,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; channels-last pixels may lie further apart than C."""
    channels_last, stride = _layout(x)
    batch, channels, height, width = x.shape
    launch = launch or LAUNCHES.get(channels, DEFAULT)
    block = triton.next_power_of_2(channels)
    rows = max(1, launch.tile // block)
    moments = torch.empty((batch, NUM_SLICES, 2, channels), dtype=torch.float32, device=x.device)
    affine = torch.empty((batch, 2, channels), dtype=torch.float32, device=x.device)
    size, per_group = height * width, channels // num_groups
    _slice_moments[(NUM_SLICES, batch)](
        x, moments, size, channels, stride, block, rows, NUM_SLICES, channels_last,
        num_warps=launch.warps,
    )  # fmt: skip
    _affine[(batch * num_groups,)](
        moments, weight, bias, affine, size, eps, channels, per_group,
        triton.next_power_of_2(per_group), rows, NUM_SLICES, num_warps=4,
    )  # fmt: skip
    return affine


def _is_channels_last(x: Tensor) -> bool:
    channels_last, stride = _layout(x)
    if channels_last and stride != x.shape[1]:
        raise _not_dense(x)
    return channels_last


def _layout(x: Tensor) -> tuple[bool, int]:
    """Whether channels lie side by side, and how many elements a pixel is from the next."""
    batch, channels, height, width = x.shape
    if x.is_contiguous(memory_format=torch.channels_last):
        return True, channels
    if x.is_contiguous():
        return False, 1
    stride = x.stride(3)
    even = x.stride()[1:] == (1, width * stride, stride) and stride >= channels
    if not even or (batch > 1 and x.stride(0) != height * width * stride):
        raise _not_dense(x)
    return True, stride


def _not_dense(x: Tensor) -> ValueError:
    return ValueError(
        f"a batch of shape {tuple(x.shape)} has strides {x.stride()}; group_norm_silu reads "
        "dense pictures: call .contiguous(memory_format=torch.channels_last)"
    )


@triton.jit(do_not_specialize=["size"])
def _slice_moments(
    x_ptr,
    moments_ptr,
    size,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SLICES: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """moments[batch, slice] = each channel's mean and its sum of squared distances from it.

    Sums are taken of x - pivot, the mean of the slice's first tile: E[d^2] - E[d]^2 of values
    around zero loses nothing, however far from zero a channel lies.
    """
    slice_, batch = tl.program_id(0), tl.program_id(1)
    channel = tl.arange(0, BLOCK)
    num_pixels = tl.maximum(_pixels_of(slice_, size, ROWS, SLICES).to(tl.float32), 1.0)
    x_ptr += batch.to(tl.int64) * size * (STRIDE if CHANNELS_LAST else CHANNELS)
    places, mask = _places(slice_ * ROWS, channel, size, CHANNELS, STRIDE, ROWS, CHANNELS_LAST)
    x = tl.load(x_ptr + places, mask=mask, other=0.0).to(tl.float32)
    pivot = tl.sum(x, 0) / tl.minimum(num_pixels, ROWS)
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    squares = tl.zeros((ROWS, BLOCK), tl.float32)
    for start in range(slice_ * ROWS, size, SLICES * ROWS):
        places, mask = _places(start, channel, size, CHANNELS, STRIDE, ROWS, CHANNELS_LAST)
        x = tl.load(x_ptr + places, mask=mask, other=0.0).to(tl.float32)
        x = tl.where(mask, x - pivot[None, :], 0.0)
        total += x
        squares += x * x
    shift = tl.sum(total, 0) / num_pixels
    spread = tl.sum(squares, 0) - shift * shift * num_pixels
    moments_ptr += (batch * SLICES + slice_).to(tl.int64) * 2 * CHANNELS + channel
    tl.store(moments_ptr, pivot + shift, mask=channel < CHANNELS)
    tl.store(moments_ptr + CHANNELS, spread, mask=channel < CHANNELS)


@triton.jit(do_not_specialize=["size"])
def _affine(
    moments_ptr,
    weight_ptr,
    bias_ptr,
    affine_ptr,
    size,
    eps,
    CHANNELS: tl.constexpr,
    PER_GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    SLICES: tl.constexpr,
):
    """affine[batch, 0] = a and affine[batch, 1] = s, so that y = a * x + s; a group a program."""
    GROUPS: tl.constexpr = CHANNELS // PER_GROUP
    batch, group = (tl.program_id(0) // GROUPS).to(tl.int64), tl.program_id(0) % GROUPS
    member, slice_ = tl.arange(0, BLOCK), tl.arange(0, SLICES)
    channel, mask = group * PER_GROUP + member, member < PER_GROUP
    places = (batch * SLICES + slice_)[:, None] * (2 * CHANNELS) + channel[None, :]
    means = tl.load(moments_ptr + places, mask=mask[None, :], other=0.0)
    spreads = tl.load(moments_ptr + CHANNELS + places, mask=mask[None, :], other=0.0)
    pixels = _pixels_of(slice_, size, ROWS, SLICES).to(tl.float32)[:, None]
    weights = tl.where(mask[None, :], pixels, 0.0) / (size.to(tl.float32) * PER_GROUP)
    # Means of slices are merged as distances from the first, for the same reason as above.
    first = tl.load(moments_ptr + batch * SLICES * 2 * CHANNELS + group * PER_GROUP)
    mean = first + _sum(weights * (means - first))
    distance = means - mean
    variance = _sum(spreads) / (size.to(tl.float32) * PER_GROUP)
    variance += _sum(weights * distance * distance)
    weight = tl.load(weight_ptr + channel, mask=mask, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + channel, mask=mask, other=0.0).to(tl.float32)
    scale = weight * tl.rsqrt(tl.maximum(variance, 0.0) + eps)
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
    # Backwards: what the moments read last is still in the L2 cache.
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    batch = (tl.num_programs(1) - 1 - tl.program_id(1)).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    affine_ptr += batch * 2 * CHANNELS + channel
    scale = tl.load(affine_ptr, mask=channel < CHANNELS, other=0.0)
    shift = tl.load(affine_ptr + CHANNELS, mask=channel < CHANNELS, other=0.0)
    places, mask = _places(tile * ROWS, channel, size, CHANNELS, CHANNELS, ROWS, CHANNELS_LAST)
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
    STRIDE: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
):
    """Where ROWS pixels from `start` lie in one picture. -> offsets and mask [ROWS, BLOCK]."""
    pixel = (start + tl.arange(0, ROWS)).to(tl.int64)
    mask = (pixel < size)[:, None] & (channel < CHANNELS)[None, :]
    if CHANNELS_LAST:
        places = pixel[:, None] * STRIDE + channel[None, :]
    else:
        places = channel[None, :].to(tl.int64) * size + pixel[:, None]
    return places, mask


@triton.jit
def _pixels_of(slice_, size, ROWS: tl.constexpr, SLICES: tl.constexpr):
    """How many pixels a slice has: tiles of ROWS go to the slices in turn, the last one short."""
    turns = size // (SLICES * ROWS)
    rest = size - turns * (SLICES * ROWS) - slice_ * ROWS
    return turns * ROWS + tl.minimum(tl.maximum(rest, 0), ROWS)


@triton.jit
def _sum(x):
    return tl.sum(tl.sum(x, 0), 0)
