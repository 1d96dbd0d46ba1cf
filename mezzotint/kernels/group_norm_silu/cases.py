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


def affine_formula(x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float) -> Tensor:
    """The map (a, s) of every channel, in x's dtype."""
    groups = x.unflatten(1, (num_groups, -1))
    mean, variance = groups.mean((2, 3, 4)), groups.var((2, 3, 4), correction=0)
    a = weight.unflatten(0, (num_groups, -1)) * (variance + eps).rsqrt()[..., None]
    s = bias.unflatten(0, (num_groups, -1)) - mean[..., None] * a
    return torch.stack([a.flatten(1), s.flatten(1)], 1)


def affine_inputs(
    shape: tuple[int, int, int, int],
    num_groups: int,
    apart: int,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The operation's arguments; pixels lie `apart` elements apart."""
    batch, channels, height, width = shape
    wide = (batch, apart, height, width)
    x, *rest = inputs(wide, num_groups, True, True, 0.0, generator, dtype)
    return (x[:, :channels], *(value[:channels] for value in rest[:2]), num_groups, EPS)


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


def _affine_case(
    name: str,
    shape: tuple[int, int, int, int],
    num_groups: int,
    apart: int,
    small: bool = False,
) -> Case:
    make = partial(affine_inputs, shape, num_groups, apart)
    batch, channels, height, width = shape
    num_bytes = 2 * batch * channels * height * width
    return Case("group_norm_affine", name, make, affine_formula, num_bytes, small=small)


CASES = (
    _affine_case("128ch-1024px-of-256", (1, 128, 1024, 1024), 32, 256),
    _affine_case("odd", (2, 36, 15, 23), 12, 36, small=True),
    _affine_case("odd-apart", (1, 36, 15, 23), 12, 45, small=True),
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
