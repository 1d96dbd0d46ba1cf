"""Shapes of product: a block's three products that have one, and an odd one."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.fp8 import ScaledRows
from mezzotint.kernels.linear.cases import inputs as plain_inputs
from mezzotint.kernels.linear.cases import of_fp8
from mezzotint.kernels.product.reference import quantize_matrix
from mezzotint.kernels.quantize_rows.reference import quantize_rows


def inputs(
    num_tokens: int, k: int, n: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x as FP8 rows, weight as an FP8 matrix."""
    x, weight = plain_inputs(num_tokens, k, n, False, generator, dtype)
    return quantize_rows(x), quantize_matrix(weight)


def scaled(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> ScaledRows:
    """What other operations read of a product: rows of different scales."""
    values = 1e4 * draw(generator, dtype, *shape)
    scale = 3e-4 * draw(generator, torch.float32, shape[0], 1).exp()
    return ScaledRows(values, scale, torch.ones_like(scale[0]))


def _case(name: str, num_tokens: int, k: int, n: int, small: bool = False) -> Case:
    return of_fp8(
        "product", name, (num_tokens, k, n), partial(inputs, num_tokens, k, n), 1, small=small
    )


CASES = (
    _case("out-1024px", 4160, 3840, 3840),
    _case("w13-1024px", 4160, 3840, 20480),
    _case("w2-1024px", 4160, 10240, 3840),
    _case("out-512px", 1088, 3840, 3840),
    _case("w13-512px", 1088, 3840, 20480),
    _case("w2-512px", 1088, 10240, 3840),
    _case("odd", 37, 45, 32, small=True),
)
