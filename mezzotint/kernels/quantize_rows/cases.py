"""Shapes of quantize_rows, and what a plain torch quantisation does to any operation's rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.fp8 import FP8, FP8_MAX, SMALLEST_AMAX
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(1, 2, 4), warps=(2, 4, 8))


def formula(x: Tensor) -> Tensor:
    """What rows scaled to e4m3's range stand for; bfloat16 inputs are rounded to e4m3 there."""
    scale = x.float() if x.dtype.itemsize == 2 else x
    scale = scale.abs().amax(1, keepdim=True).clamp_min(SMALLEST_AMAX) / FP8_MAX
    values = x / scale
    if x.dtype.itemsize == 2:
        values = values.to(FP8).float()
    return (values * scale).to(x.dtype)


def inputs(
    num_rows: int, width: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x [num_rows, width], its rows of different sizes and one of zeros."""
    sizes = draw(generator, torch.float32, num_rows, 1).exp()
    sizes[num_rows // 2] = 0
    return ((draw(generator, torch.float32, num_rows, width) * sizes).to(dtype),)


def _case(name: str, num_rows: int, width: int, small: bool = False) -> Case:
    make = partial(inputs, num_rows, width)
    return Case("quantize_rows", name, make, formula, num_rows * (3 * width + 4), small=small)


CASES = (
    _case("1024px", 4160, 3840),
    _case("512px", 1088, 3840),
    _case("odd", 37, 680, small=True),
    _case("odd-unaligned", 37, 45, small=True),
)
