"""Shapes of conv_window: strips of the decoder's last level at 1024 x 1024, and odd ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(2048, 4096, 8192, 16384), warps=(4, 8))


def formula(x: Tensor, out: Tensor, start: int, affine: Tensor | None, scale: int) -> Tensor:
    """The whole picture, padded by zeros, of which a window is cut."""
    y = x if affine is None else functional.silu(x * affine[0].to(x.dtype) + affine[1].to(x.dtype))
    y = y.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    margin = len(out)
    padded = functional.pad(y, (0, 0, 0, 0, margin, margin))
    return padded[margin + start :][: len(out)].to(out.dtype)


def inputs(
    shape: tuple[int, int, int],
    rows: int,
    start: int,
    normed: bool,
    scale: int,
    apart: int,
    out_dtype: torch.dtype | None,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The operation's arguments; pixels of x lie `apart` elements apart."""
    height, width, channels = shape
    x = draw(generator, dtype, height, width, apart)[..., :channels]
    affine = draw(generator, torch.float32, 2, channels) if normed else None
    out = x.new_full((rows, scale * width, channels), torch.nan, dtype=out_dtype or dtype)
    return x, out, start, affine, scale


def _case(
    name: str,
    shape: tuple[int, int, int],
    rows: int,
    start: int,
    normed: bool = True,
    scale: int = 1,
    apart: int | None = None,
    small: bool = False,
) -> Case:
    # Odd ones write float32: Triton's interpreter truncates where it casts to bfloat16.
    out_dtype = torch.float32 if small else None
    make = partial(inputs, shape, rows, start, normed, scale, apart or shape[2], out_dtype)
    one = 2 * rows * shape[1] * shape[2]
    return Case("conv_window", name, make, formula, one * (1 + scale**2), small=small)


CASES = (
    _case("256ch-1024px", (1024, 1024, 256), 66, 127),
    _case("128ch-1024px-of-256", (1024, 1024, 128), 66, 127, apart=256),
    _case("256ch-512px-twice", (512, 512, 256), 66, 127, normed=False, scale=2),
    _case("odd-top", (15, 7, 12), 6, -1, small=True),
    _case("odd-bottom", (15, 7, 12), 6, 10, small=True),
    _case("odd-apart", (15, 7, 12), 6, 3, apart=21, small=True),
    _case("odd-all", (5, 7, 12), 7, -1, small=True),
    _case("odd-twice", (9, 5, 20), 7, -1, normed=False, scale=2, small=True),
    _case("odd-twice-bottom", (9, 5, 20), 7, 12, normed=False, scale=2, apart=24, small=True),
)
