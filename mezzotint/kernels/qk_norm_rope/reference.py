"""q, k = rope(rms(q) * w_q), rope(rms(k) * w_k), straight from the packed qkv."""

from __future__ import annotations

import torch
from torch import Tensor

from mezzotint.kernels.fp8 import saturate
from mezzotint.kernels.rms_norm_modulate.reference import normed


def qk_norm_rope(
    qkv: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    num_heads: int,
    num_kv_heads: int,
    interleaved: bool,
    quantize: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Split a packed projection into heads, normalise and rotate q and k.

    qkv [T, (H + 2 KV) * D], weights [D], cos and sin [T, D/2] float32 ->
    q [T, H, D], k and v [T, KV, D]. `interleaved` rotates the pairs (0,1), (2,3), ...
    (Z-Image); otherwise (i, i + D/2) (Qwen3). float32 inside, rounded once. `quantize` rounds q and
    k to e4m3 as they are: normed, they are within sqrt(D) times the largest weight, which for heads
    of 128 is in range up to weights of 39.
    """
    head_dim = q_weight.shape[0]
    heads = qkv.reshape(qkv.shape[0], -1, head_dim)
    q, k, v = torch.split(heads, [num_heads, num_kv_heads, num_kv_heads], 1)
    q = _rope(normed(q, q_weight, eps), cos, sin, interleaved)
    k = _rope(normed(k, k_weight, eps), cos, sin, interleaved)
    if quantize:
        return saturate(q), saturate(k), v
    return q.to(qkv.dtype), k.to(qkv.dtype), v


def _rope(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool) -> Tensor:
    cos, sin = cos[:, None], sin[:, None]  # [T, 1, D/2]
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    pair = (a * cos - b * sin, a * sin + b * cos)
    return torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1)
