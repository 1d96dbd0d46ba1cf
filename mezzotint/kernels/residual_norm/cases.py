"""Shapes of residual_norm and residual_norm_modulate."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import EPS, Case, draw, segment_index
from mezzotint.kernels.launch import candidates
from mezzotint.kernels.product.cases import scaled
from mezzotint.kernels.rms_norm_modulate.cases import formula as norm

SWEEP = candidates(tiles=(2, 3, 4, 6, 8, 12, 16), warps=(2, 4, 8))


def add_formula(
    x: Tensor,
    branch: Tensor,
    weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    index: Tensor | None = None,
) -> Tensor:
    """x + gate[index] * rms(branch) * w, rounded after each operation."""
    return x + norm(branch, weight, eps, gate, index)


def add_norm_formula(
    x: Tensor,
    branch: Tensor,
    post: Tensor,
    pre: Tensor,
    eps: float,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
) -> tuple[Tensor, Tensor]:
    """The sum, and its norm times scale[index], rounded after each operation."""
    x = add_formula(x, branch, post, eps, gate, index)
    return x, norm(x, pre, eps, scale, index, quantize)


def inputs(
    lengths: tuple[int, ...],
    width: int,
    gated: bool,
    num_weights: int,
    quantize: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """x, branch, as many weights, eps; if gated, as many tables (slices of one) and the index."""
    num_tokens, num = sum(lengths), num_weights
    rows = [3 * draw(generator, dtype, num_tokens, width) for _ in range(2)]
    weights = [draw(generator, dtype, width) for _ in range(num)]
    if not gated:
        return (*rows, *weights, EPS)
    tables = draw(generator, torch.float32, len(lengths), num, width).unbind(1)
    index = segment_index(lengths, generator.device)
    return (*rows, *weights, EPS, *tables, index, *([True] if quantize else []))


def scaled_inputs(
    lengths: tuple[int, ...],
    width: int,
    num_weights: int,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The same with a branch whose scales wait; quantised where a norm follows."""
    quantize = num_weights == 2
    x, _, *others = inputs(lengths, width, True, num_weights, quantize, generator, dtype)
    return x, scaled(generator, dtype, *x.shape), *others


def _cases(
    name: str,
    lengths: tuple[int, ...],
    width: int,
    gated: bool = True,
    small: bool = False,
    quantize: bool = False,
    waiting: bool = False,
) -> tuple[Case, ...]:
    num_tokens = sum(lengths)
    tables = (num_tokens * 8 + 4 * width * len(lengths)) if gated else 0
    return tuple(
        Case(
            op,
            name,
            partial(scaled_inputs, lengths, width, num_weights)
            if waiting
            else partial(inputs, lengths, width, gated, num_weights, quantize),
            formula,
            _row_bytes(num_weights, width, quantize) * num_tokens
            + num_weights * (2 * width + tables),
            small=small,
        )
        for op, formula, num_weights in (
            ("residual_norm", add_formula, 1),
            ("residual_norm_modulate", add_norm_formula, 2),
        )
        if num_weights == 2 or waiting or not quantize
    )


def _row_bytes(num_weights: int, width: int, quantize: bool) -> int:
    return (3 + num_weights - 1) * 2 * width - (width - 4 if quantize else 0)


CASES = (
    *_cases("1024px", (4160,), 3840),
    *_cases("512px", (1088,), 3840),
    *_cases("mixed", (1088, 2368, 320, 576), 3840),
    *_cases("fp8-1024px", (4160,), 3840, quantize=True),
    *_cases("fp8-mixed", (1088, 2368, 320, 576), 3840, quantize=True),
    *_cases("fp8-scaled-1024px", (4160,), 3840, quantize=True, waiting=True),
    *_cases("fp8-scaled-mixed", (1088, 2368, 320, 576), 3840, quantize=True, waiting=True),
    *_cases("caption", (64,), 3840, gated=False),
    *_cases("odd", (5, 31, 1), 256, small=True),
    *_cases("odd-fp8", (5, 31, 1), 45, small=True, quantize=True),
    *_cases("odd-fp8-scaled", (5, 31, 1), 45, small=True, quantize=True, waiting=True),
    *_cases("odd-plain", (37,), 45, gated=False, small=True),
)
