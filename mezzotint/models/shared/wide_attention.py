"""Attention with one head as wide as a convolution's level: too wide for fast libraries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels import softmax_rows

# Of scores held at once, in float32: at 1024 x 1024 px sixteen parts of 1024 rows.
SCORES_BYTES = 64 * 2**20


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
    rows = max(1, SCORES_BYTES // (4 * k.shape[0]))
    return torch.cat([_part(part, k, v) for part in q.split(rows)])


def _part(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.mm(q, k.mT, out_dtype=torch.float32)
    return softmax_rows(scores, q.shape[1] ** -0.5, q.dtype) @ v
