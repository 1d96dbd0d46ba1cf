"""Shapes of layer_norm_modulate."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import EPS, Case, draw, segment_index
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(1, 2, 4), warps=(2, 4, 8))


def formula(x: Tensor, eps: float, scale: Tensor, index: Tensor | None = None) -> Tensor:
    """layer_norm(x) * scale[index], rounded after each operation."""
    return functional.layer_norm(x, x.shape[-1:], eps=eps) * scale.to(x.dtype)[index]


def inputs(
    lengths: tuple[int, ...], width: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Any, ...]:
    """x off its centre, eps, scale (a slice of a larger table, as in a model), index."""
    x = 3 * draw(generator, dtype, sum(lengths), width) + 2
    scale = draw(generator, torch.float32, len(lengths), 3, width)[:, 1]
    return x, EPS, scale, segment_index(lengths, generator.device)


def _case(name: str, lengths: tuple[int, ...], width: int, small: bool = False) -> Case:
    num_bytes = sum(lengths) * (4 * width + 8) + 4 * width * len(lengths)
    make = partial(inputs, lengths, width)
    return Case("layer_norm_modulate", name, make, formula, num_bytes, small=small)


CASES = (
    _case("1024px", (4096,), 3840),
    _case("512px", (1024,), 3840),
    _case("mixed", (1088, 2368, 320, 576), 3840),
    _case("odd", (5, 31, 1), 256, small=True),
    _case("odd-unaligned", (5, 31, 1), 45, small=True),
    _case("odd-one-segment", (37,), 256, small=True),
)
