"""Shapes of linear: the four products of a block, and an odd one."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.quantize_rows.reference import quantize_rows


def formula(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b."""
    y = x @ weight.mT
    return y if bias is None else y + bias


def inputs(
    num_tokens: int, k: int, n: int, bias: bool, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x, weight and, where there is one, bias."""
    x, weight = draw(generator, dtype, num_tokens, k), draw(generator, dtype, n, k)
    return (x, weight, draw(generator, dtype, n)) if bias else (x, weight)


def fp8_inputs(
    num_tokens: int, k: int, n: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x and weight as FP8 rows; the formula is given the numbers they stand for."""
    x, weight = inputs(num_tokens, k, n, False, generator, dtype)
    return quantize_rows(x), quantize_rows(weight)


def _fp8_case(name: str, num_tokens: int, k: int, n: int, small: bool = False) -> Case:
    make = partial(fp8_inputs, num_tokens, k, n)
    num_bytes = num_tokens * (k + 4) + n * (k + 4) + 2 * num_tokens * n
    num_flops = num_tokens * k * n  # counted in bfloat16's time: tensor cores do twice as many
    return Case("linear", name, make, formula, num_bytes, num_flops, small=small, library=True)


def _case(name: str, num_tokens: int, k: int, n: int, bias: bool = False) -> Case:
    make = partial(inputs, num_tokens, k, n, bias)
    num_bytes = 2 * (num_tokens * k + n * k + num_tokens * n)
    num_flops = 2 * num_tokens * k * n
    return Case("linear", name, make, formula, num_bytes, num_flops, small=bias, library=True)


CASES = (
    _case("qkv-1024px", 4160, 3840, 11520),
    _case("out-1024px", 4160, 3840, 3840),
    _case("w13-1024px", 4160, 3840, 20480),
    _case("w2-1024px", 4160, 10240, 3840),
    _case("w13-512px", 1088, 3840, 20480),
    _case("w2-512px", 1088, 10240, 3840),
    _fp8_case("fp8-qkv-1024px", 4160, 3840, 11520),
    _fp8_case("fp8-out-1024px", 4160, 3840, 3840),
    _fp8_case("fp8-w13-1024px", 4160, 3840, 20480),
    _fp8_case("fp8-w2-1024px", 4160, 10240, 3840),
    _fp8_case("fp8-w13-512px", 1088, 3840, 20480),
    _fp8_case("fp8-w2-512px", 1088, 10240, 3840),
    _fp8_case("fp8-gate-up-qwen3", 64, 2560, 19456),
    _fp8_case("odd-fp8", 37, 45, 32, small=True),
    _case("odd", 37, 45, 19, bias=True),
)
