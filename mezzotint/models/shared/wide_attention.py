"""Attention with one head as wide as a convolution's level: too wide for fast libraries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels import softmax_rows

# A new size of picture brings new numbers of queries and keys, and a library of products takes tens
# of milliseconds to settle on a kernel for each: they are rounded up to numbers that sizes share.
QUERIES = 1024  # at once; their scores are 64 MiB at 1024 x 1024 px
KEYS = 512
SCORES_BYTES = 64 * 2**20  # at most


def wide_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(C)) v. q, k, v [B, L, C] -> [B, L, C].

    torch's attention for heads of 512 writes its sums to memory and reads them back at every turn.
    On a GPU in bfloat16 two products around a softmax, some rows at a time, take their place; the
    scores stay in float32, as they do inside an attention.
    """
    if not q.is_cuda or q.dtype == torch.float32:
        return functional.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
    return torch.stack([_one(*picture) for picture in zip(q, k, v, strict=True)])


def _one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    length = len(k)
    k, v = _padded(k, KEYS), _padded(v, KEYS)
    rows = max(1, min(QUERIES, SCORES_BYTES // (4 * len(k))))
    parts = _padded(q, rows).split(rows)
    return torch.cat([_part(part, k, v, length) for part in parts])[:length]


def _part(q: Tensor, k: Tensor, v: Tensor, length: int) -> Tensor:
    scores = torch.mm(q, k.mT, out_dtype=torch.float32)
    return softmax_rows(scores, q.shape[1] ** -0.5, q.dtype, length) @ v


def _padded(x: Tensor, multiple: int) -> Tensor:
    """x [L, C] with rows of zeros behind it, up to a multiple."""
    return functional.pad(x, (0, 0, 0, -len(x) % multiple))
