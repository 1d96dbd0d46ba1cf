"""out = x + b + r, the end of a convolution."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch, check_contiguous, check_pixels

DEFAULT = Launch(4096, 8)  # a tile is a number of elements


def add_bias(
    x: Tensor,
    bias: Tensor,
    out: Tensor,
    residual: Tensor | None = None,
    *,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU; pixels may lie further apart than C."""
    check_pixels(x=x, out=out, residual=residual)
    check_contiguous(bias=bias)
    launch = launch or DEFAULT
    height, width, channels = x.shape
    block = triton.next_power_of_2(channels)
    pixels = max(1, launch.tile // block)
    num_pixels = height * width
    _add_bias[(triton.cdiv(num_pixels, pixels),)](
        x, bias, residual, out, num_pixels, channels, x.stride(1), out.stride(1),
        0 if residual is None else residual.stride(1), block, pixels, residual is not None,
        num_warps=launch.warps,
    )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["num_pixels"])
def _add_bias(
    x_ptr,
    bias_ptr,
    residual_ptr,
    out_ptr,
    num_pixels,
    CHANNELS: tl.constexpr,
    X_STRIDE: tl.constexpr,
    OUT_STRIDE: tl.constexpr,
    RESIDUAL_STRIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    PIXELS: tl.constexpr,
    RESIDUAL: tl.constexpr,
):
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)[:, None]
    channel = tl.arange(0, BLOCK)[None, :]
    mask = (pixel < num_pixels) & (channel < CHANNELS)
    y = tl.load(x_ptr + pixel * X_STRIDE + channel, mask=mask, other=0.0).to(tl.float32)
    y += tl.load(bias_ptr + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)
    if RESIDUAL:
        places = residual_ptr + pixel * RESIDUAL_STRIDE + channel
        y += tl.load(places, mask=mask, other=0.0).to(tl.float32)
    tl.store(out_ptr + pixel * OUT_STRIDE + channel, y, mask=mask)
