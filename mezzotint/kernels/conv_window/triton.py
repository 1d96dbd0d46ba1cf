"""out[i, j] = f(x[(start + i) / scale, j / scale]), f = silu(a x + s); 0 beyond the picture."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch, check_contiguous, check_pixels
from mezzotint.kernels.swiglu.triton import silu as silu_

DEFAULT = Launch(4096, 8)  # a tile is a number of elements


def conv_window(
    x: Tensor,
    out: Tensor,
    start: int,
    affine: Tensor | None = None,
    scale: int = 1,
    *,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; pixels of x and of out may lie further apart than C."""
    check_pixels(x=x, out=out)
    check_contiguous(affine=affine)
    launch = launch or DEFAULT
    height, width, channels = x.shape
    block = triton.next_power_of_2(channels)
    pixels = max(1, launch.tile // block)
    num_pixels = out.shape[0] * out.shape[1]
    _conv_window[(triton.cdiv(num_pixels, pixels),)](
        x, affine, out, start, height, width, num_pixels, channels, x.stride(1), out.stride(1),
        scale, block, pixels, affine is not None, num_warps=launch.warps,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["start", "height", "width", "num_pixels"])
def _conv_window(
    x_ptr,
    affine_ptr,
    out_ptr,
    start,
    height,
    width,
    num_pixels,
    CHANNELS: tl.constexpr,
    X_STRIDE: tl.constexpr,
    OUT_STRIDE: tl.constexpr,
    SCALE: tl.constexpr,
    BLOCK: tl.constexpr,
    PIXELS: tl.constexpr,
    AFFINE: tl.constexpr,
):
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.arange(0, BLOCK)
    row = start + pixel // (width * SCALE)
    column = pixel % (width * SCALE)
    written = (pixel < num_pixels)[:, None] & (channel < CHANNELS)[None, :]
    inside = (row >= 0) & (row < height * SCALE)
    # Rows above the picture are negative: they are masked before their quotient matters.
    source = (row // SCALE).to(tl.int64) * width + column // SCALE
    places = source[:, None] * X_STRIDE + channel[None, :]
    x = tl.load(x_ptr + places, mask=written & inside[:, None], other=0.0)
    if AFFINE:
        scale = tl.load(affine_ptr + channel, mask=channel < CHANNELS, other=0.0)
        shift = tl.load(affine_ptr + CHANNELS + channel, mask=channel < CHANNELS, other=0.0)
        y = silu_(x.to(tl.float32) * scale[None, :] + shift[None, :])
        y = tl.where(inside[:, None], y, 0.0)
    else:
        y = x
    places = pixel.to(tl.int64)[:, None] * OUT_STRIDE + channel[None, :]
    tl.store(out_ptr + places, y, mask=written)
