"""Shapes of swiglu."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates
from mezzotint.kernels.product.cases import scaled
from mezzotint.kernels.quantize_rows.cases import formula as quantized

SWEEP = candidates(tiles=(512, 1024, 2048, 4096), warps=(2, 4, 8))


def formula(x: Tensor, quantize: bool = False) -> Tensor:
    """silu(x1) * x3, rounded after each operation."""
    gate, value = x.chunk(2, -1)
    y = functional.silu(gate) * value
    return quantized(y) if quantize else y


def inputs(
    num_tokens: int,
    width: int,
    quantize: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """x [num_tokens, 2 * width], and True to quantise."""
    x = 3 * draw(generator, dtype, num_tokens, 2 * width)
    return (x, True) if quantize else (x,)


def scaled_inputs(
    num_tokens: int, width: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x as a product whose scales wait, and True to quantise."""
    return scaled(generator, dtype, num_tokens, 2 * width), True


def _scaled_case(name: str, num_tokens: int, width: int, small: bool = False) -> Case:
    make = partial(scaled_inputs, num_tokens, width)
    return Case("swiglu", name, make, formula, num_tokens * (5 * width + 8), small=small)


def _case(
    name: str, num_tokens: int, width: int, small: bool = False, quantize: bool = False
) -> Case:
    make = partial(inputs, num_tokens, width, quantize)
    row_bytes = 5 * width + 4 if quantize else 6 * width
    return Case("swiglu", name, make, formula, num_tokens * row_bytes, small=small)


CASES = (
    _case("1024px", 4160, 10240),
    _case("512px", 1088, 10240),
    _case("fp8-1024px", 4160, 10240, quantize=True),
    _case("fp8-512px", 1088, 10240, quantize=True),
    _scaled_case("fp8-scaled-1024px", 4160, 10240),
    _scaled_case("odd-fp8-scaled", 37, 680, small=True),
    _case("caption", 64, 10240),
    _case("qwen3", 64, 9728),
    _case("odd", 37, 680, small=True),
    _case("odd-unaligned", 37, 45, small=True),
    _case("odd-fp8", 37, 680, small=True, quantize=True),
    _case("odd-fp8-unaligned", 37, 45, small=True, quantize=True),
    _case("odd-fp8-power", 37, 64, small=True, quantize=True),
)
