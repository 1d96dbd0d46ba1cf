"""Shapes of flow_step."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.launch import candidates

SWEEP = candidates(tiles=(512, 1024, 2048), warps=(2, 4, 8))


def formula(
    x: Tensor,
    pos: Tensor,
    neg: Tensor | None,
    sigma: float,
    next_sigma: float,
    guidance: float,
    rescale: float,
) -> Tensor:
    """The step in plain operations, each rounded to its inputs' dtype."""
    velocity = pos
    if neg is not None:
        velocity = pos + guidance * (pos - neg)
        if rescale > 0:
            velocity = velocity * (rescale * pos.norm() / velocity.norm()).clamp(max=1.0)
    return x + (next_sigma - sigma) * -velocity


def inputs(
    num_tokens: int,
    width: int,
    guided: bool,
    rescale: float,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """The operation's arguments: a float32 latent and the model's outputs in its dtype."""
    x = draw(generator, torch.float32, num_tokens, width)
    pos = draw(generator, dtype, num_tokens, width)
    neg = draw(generator, dtype, num_tokens, width) if guided else None
    return x, pos, neg, 0.9, 0.75, 4.0, rescale


def _case(
    name: str,
    num_tokens: int,
    width: int,
    guided: bool,
    rescale: float = 0.0,
    small: bool = False,
) -> Case:
    make = partial(inputs, num_tokens, width, guided, rescale)
    num_bytes = num_tokens * width * (12 if guided else 10)
    return Case("flow_step", name, make, formula, num_bytes, small=small)


CASES = (
    _case("1024px", 4096, 64, guided=False),
    _case("1024px-guided", 4096, 64, guided=True),
    _case("1024px-rescaled", 4096, 64, guided=True, rescale=1.0),
    _case("odd", 37, 12, guided=False, small=True),
    _case("odd-guided", 37, 12, guided=True, small=True),
    _case("odd-rescaled", 53, 64, guided=True, rescale=0.7, small=True),
    _case("odd-not-capped", 37, 12, guided=True, rescale=100.0, small=True),
)
