"""Shapes of attention in FP8: one picture, several, a mixed pack, odd ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.attention.cases import formula as exact
from mezzotint.kernels.attention_fp8.launch import Launch
from mezzotint.kernels.attention_fp8.reference import attention_fp8
from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.fp8 import saturate
from mezzotint.kernels.segments import Segments

# 128 registers let two programs of eight warps share a multiprocessor: the softmax of one runs
# beside the products of the other.
SWEEP = (
    Launch(128, 128, 8, 2),
    Launch(128, 128, 8, 3),
    Launch(128, 128, 8, 4),
    Launch(128, 128, 8, 3, wide=True),
    Launch(128, 64, 8, 3),
    Launch(128, 64, 8, 2, registers=128),
    Launch(128, 64, 8, 3, registers=128),
    Launch(128, 64, 8, 4, registers=128),
    Launch(128, 32, 8, 4),
    Launch(64, 128, 4, 2),
    Launch(64, 128, 4, 3),
    Launch(64, 64, 4, 3),
    Launch(64, 64, 4, 3, registers=128),
    Launch(64, 64, 4, 3, wide=True),
)


def formula(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Attention of what q and k stand for; for a bfloat16 v in FP8, with the same rounding."""
    return attention_fp8(q, k, v, segments) if v.dtype.itemsize == 2 else exact(q, k, v, segments)


def inputs(
    lengths: tuple[int, ...],
    num_heads: int,
    head_dim: int,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """q, k and v as qk_norm_rope leaves them; v's tokens are of different sizes."""
    num_tokens = sum(lengths)
    qk = saturate(draw(generator, torch.float32, num_tokens, 2 * num_heads, head_dim))
    qkv = draw(generator, torch.float32, num_tokens, 3 * num_heads, head_dim)
    qkv *= draw(generator, torch.float32, num_tokens, 1, 1).exp()
    v = qkv.to(dtype)[:, 2 * num_heads :]
    return qk[:, :num_heads], qk[:, num_heads:], v, Segments.of(lengths, generator.device)


def _case(
    name: str, lengths: tuple[int, ...], num_heads: int, head_dim: int, small: bool = False
) -> Case:
    make = partial(inputs, lengths, num_heads, head_dim)
    num_bytes = sum(lengths) * num_heads * head_dim * (1 + 1 + 2 + 2)
    # counted in bfloat16's time: tensor cores do twice as many
    num_flops = 2 * num_heads * head_dim * sum(n * n for n in lengths)
    return Case("attention_fp8", name, make, formula, num_bytes, num_flops, small)


CASES = (
    _case("1024px", (4160,), 30, 128),
    _case("512px", (1088,), 30, 128),
    _case("4x512px", (1088,) * 4, 30, 128),
    _case("mixed", (1088, 2368, 320, 576), 30, 128),
    _case("odd", (5, 31, 1), 3, 64, small=True),
    _case("odd-128", (131, 128), 2, 128, small=True),
    _case("odd-32", (37, 200, 19), 2, 32, small=True),
)
