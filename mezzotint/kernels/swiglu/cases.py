"""Shapes of swiglu."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(512, 1024, 2048, 4096), warps=(2, 4, 8))


def formula(x: Tensor) -> Tensor:
    """silu(x1) * x3, rounded after each operation."""
    gate, value = x.chunk(2, -1)
    return functional.silu(gate) * value


def inputs(
    num_tokens: int, width: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x [num_tokens, 2 * width]."""
    return (3 * draw(generator, dtype, num_tokens, 2 * width),)


def _case(name: str, num_tokens: int, width: int, small: bool = False) -> Case:
    make = partial(inputs, num_tokens, width)
    return Case("swiglu", name, make, formula, 6 * num_tokens * width, small=small)


CASES = (
    _case("1024px", 4160, 10240),
    _case("512px", 1088, 10240),
    _case("caption", 64, 10240),
    _case("qwen3", 64, 9728),
    _case("odd", 37, 680, small=True),
    _case("odd-unaligned", 37, 45, small=True),
)
