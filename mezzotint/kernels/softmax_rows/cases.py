"""Shapes of softmax_rows: parts of the VAE's attention at three sizes, and odd ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(1024, 2048, 4096, 8192, 16384), warps=(4, 8, 16))
SCALE = 512**-0.5


def formula(x: Tensor, scale: float, into: torch.dtype, columns: int) -> Tensor:
    """The shares in x's dtype, rounded to `into` but in float64."""
    y = functional.pad((x[:, :columns] * scale).softmax(-1), (0, x.shape[1] - columns))
    return y if x.dtype == torch.float64 else y.to(into)


def inputs(
    num_rows: int, width: int, columns: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """Scores in float32, as a product leaves them, and what the shares are rounded to."""
    return 60 * draw(generator, torch.float32, num_rows, width), SCALE, dtype, columns


def _case(
    name: str, num_rows: int, width: int, columns: int | None = None, small: bool = False
) -> Case:
    make = partial(inputs, num_rows, width, columns or width)
    return Case("softmax_rows", name, make, formula, num_rows * width * 6, small=small)


CASES = (
    _case("1024px", 1024, 16384),
    _case("512px", 1024, 4096),
    _case("528px", 1024, 4608, 4356),
    _case("2048px", 256, 65536),
    _case("odd", 5, 4133, small=True),
    _case("odd-short", 37, 45, small=True),
    _case("padded", 3, 512, 300, small=True),
    _case("padded-tiles", 2, 4608, 4097, small=True),
)
