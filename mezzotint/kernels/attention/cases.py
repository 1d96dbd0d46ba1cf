"""Shapes of attention: one picture, several, a mixed pack, the text encoder's, odd ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.kernels.case import Case, draw
from mezzotint.kernels.segments import Segments


def formula(q: Tensor, k: Tensor, v: Tensor, segments: Segments, causal: bool = False) -> Tensor:
    """Scores, mask, softmax, sum, over the whole pack at once."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    mask = segments.index[:, None] == segments.index
    mask = mask.tril() if causal else mask
    scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
    p = scores.masked_fill_(~mask, -torch.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", p, v).flatten(1)


def inputs(
    lengths: tuple[int, ...],
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    causal: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> tuple[Any, ...]:
    """q, k and v as qk_norm_rope leaves them: views of rows that hold more than one of them."""
    num_tokens = sum(lengths)
    qk = draw(generator, dtype, num_tokens, num_heads + num_kv_heads, head_dim)
    qkv = draw(generator, dtype, num_tokens, num_heads + 2 * num_kv_heads, head_dim)
    segments = Segments.of(lengths, generator.device)
    q, k, v = qk[:, :num_heads], qk[:, num_heads:], qkv[:, num_heads + num_kv_heads :]
    return q, k, v, segments, causal


def _case(
    name: str,
    lengths: tuple[int, ...],
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    causal: bool = False,
    small: bool = False,
) -> Case:
    make = partial(inputs, lengths, num_heads, num_kv_heads, head_dim, causal)
    num_bytes = 4 * sum(lengths) * (num_heads + num_kv_heads) * head_dim
    num_flops = 4 * num_heads * head_dim * sum(n * n for n in lengths) // (2 if causal else 1)
    return Case("attention", name, make, formula, num_bytes, num_flops, small, library=True)


CASES = (
    _case("1024px", (4160,), 30, 30, 128),
    _case("512px", (1088,), 30, 30, 128),
    _case("4x512px", (1088,) * 4, 30, 30, 128),
    _case("mixed", (1088, 2368, 320, 576), 30, 30, 128),
    _case("qwen3", (64,), 32, 8, 128, causal=True),
    _case("odd", (5, 31, 1), 3, 3, 48, small=True),
    _case("odd-grouped", (19, 19), 6, 2, 48, causal=True, small=True),
)
