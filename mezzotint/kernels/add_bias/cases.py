"""Shapes of add_bias: a strip of the decoder's last level at 1024 x 1024 pixels, and odd ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(2048, 4096, 8192, 16384), warps=(4, 8))


def formula(x: Tensor, bias: Tensor, out: Tensor, residual: Tensor | None) -> Tensor:
    """The sums, each rounded to x's dtype."""
    y = x + bias
    return (y if residual is None else y + residual).to(out.dtype)


def inputs(
    shape: tuple[int, int, int],
    with_residual: bool,
    apart: int,
    out_dtype: torch.dtype | None,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The operation's arguments; pixels of out and residual lie `apart` elements apart."""
    height, width, channels = shape
    x, bias = draw(generator, dtype, *shape), draw(generator, dtype, channels)
    wide = (height, width, apart)
    residual = draw(generator, dtype, *wide)[..., :channels] if with_residual else None
    out = x.new_full(wide, torch.nan, dtype=out_dtype or dtype)[..., :channels]
    return x, bias, out, residual


def _case(
    name: str,
    shape: tuple[int, int, int],
    with_residual: bool = True,
    apart: int | None = None,
    small: bool = False,
) -> Case:
    # Odd ones write float32: Triton's interpreter truncates where it casts to bfloat16.
    out_dtype = torch.float32 if small else None
    make = partial(inputs, shape, with_residual, apart or shape[2], out_dtype)
    one = 2 * shape[0] * shape[1] * shape[2]
    return Case("add_bias", name, make, formula, one * (2 + with_residual), small=small)


CASES = (
    _case("128ch-1024px-of-256", (64, 1024, 128), apart=256),
    _case("256ch-1024px-no-residual", (64, 1024, 256), with_residual=False),
    _case("odd", (5, 7, 12), apart=23, small=True),
    _case("odd-no-residual", (5, 7, 20), with_residual=False, small=True),
)
