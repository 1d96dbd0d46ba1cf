"""p = round(255 * clamp(x / 2 + 1/2, 0, 1))."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch

# The size may be specialised: a multiple of 16, as every picture's is, makes loads 16 bytes
# wide; the only other variant serves all other sizes.
DEFAULT = Launch(2048, 4)  # a tile is a number of bytes written


def to_pixels(x: Tensor, *, launch: Launch | None = None) -> Tensor:
    """The reference's operation on a GPU; x may lie as [3, H, W] or as [H, W, 3] in memory."""
    launch = launch or DEFAULT
    channels, height, width = x.shape
    channels_last = x.permute(1, 2, 0).is_contiguous()
    if not channels_last and not x.is_contiguous():
        raise ValueError(
            f"a picture of shape {tuple(x.shape)} has strides {x.stride()}; "
            "to_pixels reads it planar or interleaved: call .contiguous()"
        )
    y = torch.empty((height, width, channels), dtype=torch.uint8, device=x.device)
    _to_pixels[(triton.cdiv(y.numel(), launch.tile),)](
        x,
        y,
        y.numel(),
        height * width,
        CHANNELS=channels,
        CHANNELS_LAST=channels_last,
        TILE=launch.tile,
        num_warps=launch.warps,
    )
    return y


@triton.jit(do_not_specialize=["plane"])
def _to_pixels(
    x_ptr,
    y_ptr,
    num_elements,
    plane,
    CHANNELS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    TILE: tl.constexpr,
):
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    source = place if CHANNELS_LAST else (place % CHANNELS) * plane + place // CHANNELS
    mask = place < num_elements
    x = tl.load(x_ptr + source, mask=mask, other=0.0).to(tl.float32)
    # Clamped after the product: a clamp between it and the sum below keeps them from being fused
    # into one rounding. Adding 1.5 * 2^23 leaves no bits for a fraction: it rounds half to even.
    y = tl.minimum(tl.maximum((x * 0.5 + 0.5) * 255.0, 0.0), 255.0)
    y = (y + 12582912.0) - 12582912.0
    tl.store(y_ptr + place, y.to(tl.uint8), mask=mask)
