"""Shapes of group_norm_silu: the decoder's at 1024 x 1024 pixels, and odd ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.case import L2_BYTES, Case, draw
from mezzotint.kernels.launch import candidates

EPS = 1e-6
SWEEP = candidates(tiles=(2048, 4096, 8192, 16384), warps=(4, 8))


def formula(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float, silu: bool = True
) -> Tensor:
    """torch's group norm, rounded, then SiLU."""
    y = functional.group_norm(x, num_groups, weight, bias, eps)
    return functional.silu(y) if silu else y


def inputs(
    shape: tuple[int, int, int, int],
    num_groups: int,
    silu: bool,
    channels_last: bool,
    mean: float,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The operation's arguments; each channel has its own mean, about `mean`."""
    channels = shape[1]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.empty(shape, dtype=dtype, device=generator.device, memory_format=layout)
    x.normal_(generator=generator)
    x += (mean + draw(generator, dtype, channels))[:, None, None]
    return (
        x,
        draw(generator, dtype, channels),
        draw(generator, dtype, channels),
        num_groups,
        EPS,
        (silu),
    )


def _case(
    name: str,
    shape: tuple[int, int, int, int],
    num_groups: int = 32,
    silu: bool = True,
    channels_last: bool = True,
    mean: float = 0.0,
    small: bool = False,
) -> Case:
    make = partial(inputs, shape, num_groups, silu, channels_last, mean)
    batch, channels, height, width = shape
    one = 2 * batch * channels * height * width
    # Statistics come before the first output: beyond the cache x must be read twice.
    num_bytes = 2 * one + max(0, one - L2_BYTES)
    return Case("group_norm_silu", name, make, formula, num_bytes, small=small)


CASES = (
    _case("512ch-128px", (1, 512, 128, 128)),
    _case("512ch-128px-attention", (1, 512, 128, 128), silu=False),
    _case("512ch-256px", (1, 512, 256, 256)),
    _case("256ch-512px", (1, 256, 512, 512)),
    _case("256ch-1024px", (1, 256, 1024, 1024)),
    _case("128ch-1024px", (1, 128, 1024, 1024)),
    _case("odd", (2, 12, 15, 77), 4, small=True),
    _case("odd-planar", (2, 12, 15, 77), 4, channels_last=False, small=True),
    _case("odd-no-silu", (1, 40, 33, 9), 5, silu=False, small=True),
    _case("odd-far-from-zero", (1, 32, 19, 21), 8, mean=300.0, small=True),
)
