"""softmax(q k^T / sqrt(D)) v, within each segment and never across."""

from __future__ import annotations

from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.segments import Segments


def attention(q: Tensor, k: Tensor, v: Tensor, segments: Segments, causal: bool = False) -> Tensor:
    """Attend within segments. q [T, H, D], k and v [T, KV, D] -> [T, H * D].

    Equal segments run as one batch, others one after the other; no mask either way. Rows that
    belong to no segment are zeros.
    """
    length = segments.uniform_length
    if length is not None:
        return _attend(*(x.reshape(-1, length, *x.shape[1:]) for x in (q, k, v)), causal=causal)
    bounds = list(accumulate(segments.lengths, initial=0))
    parts = [
        _attend(q[None, start:end], k[None, start:end], v[None, start:end], causal=causal)
        for start, end in pairwise(bounds)
        if start < end
    ]
    nobody = q.new_zeros(q.shape[0] - bounds[-1], q.shape[1] * q.shape[2])
    return torch.cat([*parts, nobody])


def _attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """Attend within S equal segments. q [S, L, H, D], k and v [S, L, KV, D] -> [S * L, H * D]."""
    grouped = q.shape[2] != k.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=grouped)
    return y.transpose(1, 2).flatten(2).flatten(0, 1)
