"""Shapes of rms_norm_modulate."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import EPS, Case, draw, segment_index
from mezzotint.kernels.launch import candidates
from mezzotint.kernels.quantize_rows.cases import formula as quantized

SWEEP = candidates(tiles=(1, 2, 4), warps=(2, 4, 8))


def formula(
    x: Tensor,
    weight: Tensor,
    eps: float,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
) -> Tensor:
    """rms(x) * w * scale[index], rounded after each operation."""
    y = functional.rms_norm(x, x.shape[-1:], weight, eps)
    y = y if scale is None else y * scale.to(x.dtype)[index]
    return quantized(y) if quantize else y


def inputs(
    lengths: tuple[int, ...],
    width: int,
    quantize: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """x, weight, eps, scale, index; the table is a slice of a larger one, as in a model."""
    scale = draw(generator, torch.float32, len(lengths), 3, width)[:, 1]
    rows = plain(sum(lengths), width, generator, dtype)
    return (*rows, scale, _index(lengths, generator), quantize)


def plain(
    num_tokens: int, width: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x, weight, eps."""
    x, weight = draw(generator, dtype, num_tokens, width), draw(generator, dtype, width)
    return 3 * x, weight, EPS


def _index(lengths: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return segment_index(lengths, generator.device)


def _case(
    name: str, lengths: tuple[int, ...], width: int, small: bool = False, quantize: bool = False
) -> Case:
    row_bytes = (3 * width + 4 if quantize else 4 * width) + 8
    num_bytes = sum(lengths) * row_bytes + width * (2 + 4 * len(lengths))
    make = partial(inputs, lengths, width, quantize)
    return Case("rms_norm_modulate", name, make, formula, num_bytes, small=small)


def _plain_case(name: str, num_tokens: int, width: int, small: bool = False) -> Case:
    make = partial(plain, num_tokens, width)
    num_bytes = num_tokens * 4 * width + 2 * width
    return Case("rms_norm_modulate", name, make, formula, num_bytes, small=small)


CASES = (
    _case("1024px", (4160,), 3840),
    _case("512px", (1088,), 3840),
    _case("mixed", (1088, 2368, 320, 576), 3840),
    _case("fp8-1024px", (4160,), 3840, quantize=True),
    _case("fp8-mixed", (1088, 2368, 320, 576), 3840, quantize=True),
    _plain_case("caption", 64, 3840),
    _plain_case("qwen3", 64, 2560),
    _case("odd", (5, 31, 1), 256, small=True),
    _case("odd-one-segment", (37,), 256, small=True),
    _case("odd-fp8", (5, 31, 1), 45, small=True, quantize=True),
    _plain_case("odd-plain", 37, 45, small=True),
)
