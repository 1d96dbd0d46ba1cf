"""Shapes of linear: a block's products, the text encoder's with FP8 weights, and odd ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.linear.launch import Launch
from mezzotint.kernels.quantize_rows.reference import quantize_rows

SWEEP = (
    *(Launch(64, 64, 128, 4, stages, splits) for stages in (3, 4, 6) for splits in (1, 2, 4)),
    *(Launch(128, 64, 128, warps, 4, splits) for warps in (4, 8) for splits in (1, 2, 4, 7)),
    Launch(128, 64, 256, 8, 3, 4),
    Launch(64, 64, 256, 4, 3),
    Launch(64, 64, 256, 4, 3, 4),
    Launch(64, 32, 128, 4, 4, 2),
    Launch(64, 32, 128, 4, 6, 4),
    Launch(32, 64, 256, 4, 4),
    Launch(16, 64, 256, 4, 4),
    *(Launch(64, 128, 128, 4, 3, splits) for splits in (1, 2, 4)),
    *(Launch(128, 128, 128, 8, 3, splits) for splits in (1, 2, 4)),
    *(Launch(128, 128, 64, 8, 4, splits) for splits in (1, 2, 3)),
    Launch(128, 256, 64, 8, 4),
    Launch(256, 128, 64, 8, 4),
)


Inputs = Callable[[torch.Generator, torch.dtype], tuple[Any, ...]]


def formula(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b; FP8 rows may be wider than x, by zeros."""
    y = x @ weight[:, : x.shape[1]].mT
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


def token_inputs(
    num_tokens: int, k: int, n: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x as it is and weight as FP8 rows."""
    x, weight = inputs(num_tokens, k, n, False, generator, dtype)
    return x, quantize_rows(weight)


def _tokens_case(name: str, num_tokens: int, k: int, n: int, small: bool = False) -> Case:
    make = partial(token_inputs, num_tokens, k, n)
    num_bytes = 2 * num_tokens * (k + n) + n * (k + 4)
    return Case("linear", name, make, formula, num_bytes, 2 * num_tokens * k * n, small=small)


def _fp8_case(name: str, num_tokens: int, k: int, n: int, small: bool = False) -> Case:
    make = partial(fp8_inputs, num_tokens, k, n)
    return of_fp8("linear", name, (num_tokens, k, n), make, n, small=small)


def of_fp8(
    op: str, name: str, shape: tuple[int, int, int], make: Inputs, num_scales: int, small: bool
) -> Case:
    """A product [T, K] x [K, N] of FP8 rows and a weight of so many scales."""
    num_tokens, k, n = shape
    num_bytes = num_tokens * (k + 4) + n * k + 4 * num_scales + 2 * num_tokens * n
    num_flops = num_tokens * k * n  # counted in bfloat16's time: tensor cores do twice as many
    return Case(op, name, make, formula, num_bytes, num_flops, small=small, library=True)


def _case(name: str, num_tokens: int, k: int, n: int, bias: bool = False) -> Case:
    make = partial(inputs, num_tokens, k, n, bias)
    num_bytes = 2 * (num_tokens * k + n * k + num_tokens * n)
    num_flops = 2 * num_tokens * k * n
    return Case("linear", name, make, formula, num_bytes, num_flops, small=bias, library=True)


QWEN3 = {"qkv": (2560, 6144), "out": (4096, 2560), "gate-up": (2560, 19456), "down": (9728, 2560)}
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
    *(
        _tokens_case(f"tokens-{name}-{num_tokens}", num_tokens, k, n)
        for num_tokens in (32, 64, 96, 128, 256, 512, 1024)
        for name, (k, n) in QWEN3.items()
    ),
    _fp8_case("odd-fp8", 37, 45, 32, small=True),
    _tokens_case("odd-tokens", 37, 45, 32, small=True),
    _tokens_case("odd-tokens-columns", 70, 160, 83, small=True),
    _tokens_case("odd-tokens-many", 150, 96, 80, small=True),
    _case("odd", 37, 45, 19, bias=True),
)
