"""Shapes of to_pixels."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(1024, 2048, 4096), warps=(2, 4, 8))


def formula(x: Tensor) -> Tensor:
    """The reference's steps, each rounded to x's dtype."""
    y = (x * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0
    return y.round().to(torch.uint8).permute(1, 2, 0).contiguous()


def inputs(
    height: int, width: int, channels_last: bool, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x [3, height, width], a little beyond [-1, 1]."""
    x = 0.7 * draw(generator, dtype, 3, height, width)
    return (x.permute(1, 2, 0).contiguous().permute(2, 0, 1) if channels_last else x,)


def _case(
    name: str, height: int, width: int, channels_last: bool = True, small: bool = False
) -> Case:
    make = partial(inputs, height, width, channels_last)
    return Case("to_pixels", name, make, formula, 9 * height * width, small=small)


CASES = (
    _case("1024px", 1024, 1024),
    _case("1024px-planar", 1024, 1024, channels_last=False),
    _case("odd", 15, 77, small=True),
    _case("odd-planar", 15, 77, channels_last=False, small=True),
)
