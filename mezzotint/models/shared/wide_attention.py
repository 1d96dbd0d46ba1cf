"""Attention with one head as wide as a convolution's level: too wide for fast libraries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels import softmax_rows

# A new size of picture brings a new number of tokens, and a library of products takes milliseconds
# to settle on kernels for it and to load them: numbers are rounded up to those that sizes share.
TOKENS = 512
QUERIES = 1024  # at once; their scores are 64 MiB at 1024 x 1024 px
SCORES_BYTES = 64 * 2**20  # at most


def pad_tokens(x: Tensor) -> Tensor:
    """x [B, L, C] with zeros behind its tokens, as many as `wide_attention` is fast with."""
    return functional.pad(x, (0, 0, 0, -x.shape[1] % TOKENS)) if _in_parts(x) else x


def wide_attention(q: Tensor, k: Tensor, v: Tensor, length: int) -> Tensor:
    """softmax(q k^T / sqrt(C)) v over the first `length` keys. q, k, v [B, L, C] -> [B, L, C].

    torch's attention for heads of 512 writes its sums to memory and reads them back at every turn.
    On a GPU in bfloat16 two products around a softmax, some rows at a time, take their place; the
    scores stay in float32, as they do inside an attention.
    """
    if _in_parts(q):
        pictures = zip(q, k, v, strict=True)
        return torch.stack([_one(*picture, length) for picture in pictures])
    q, k, v = (x[:, None] for x in (q, k[:, :length], v[:, :length]))
    return functional.scaled_dot_product_attention(q, k, v)[:, 0]


def _in_parts(x: Tensor) -> bool:
    return x.is_cuda and x.dtype != torch.float32


def _one(q: Tensor, k: Tensor, v: Tensor, length: int) -> Tensor:
    rows = max(1, min(QUERIES, SCORES_BYTES // (4 * len(k))))
    return torch.cat([_part(part, k, v, length) for part in q.split(rows)])


def _part(q: Tensor, k: Tensor, v: Tensor, length: int) -> Tensor:
    scores = torch.mm(q, k.mT, out_dtype=torch.float32)
    return softmax_rows(scores, q.shape[1] ** -0.5, q.dtype, length) @ v
