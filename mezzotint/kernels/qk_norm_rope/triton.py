"""q, k = rope(rms(q) * w_q), rope(rms(k) * w_k), straight from the packed qkv.

q and k are written side by side, token-major [T, H + KV, D], and handed over as views; v stays
where the projection wrote it. Attention reads rows of D adjacent elements at any 16-byte stride,
so copying v (T * KV * D read and written) or separating heads would buy nothing.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.fp8 import FP8
from mezzotint.kernels.launch import Launch, check_contiguous, check_rows
from mezzotint.kernels.quantize_rows.triton import to_fp8

# By the number of q and k heads; a tile is a number of heads.
LAUNCHES = {40: Launch(8, 1), 60: Launch(64, 8)}
DEFAULT = Launch(4, 1)


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
    *,
    dtype: torch.dtype | None = None,
    launch: Launch | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The reference's operation on a GPU; `dtype` is that of q and k unless they are e4m3."""
    check_rows(qkv=qkv)
    check_contiguous(cos=cos, sin=sin)
    num_tokens, head_dim = qkv.shape[0], q_weight.shape[0]
    num_rotated = num_heads + num_kv_heads
    launch = launch or LAUNCHES.get(num_rotated, DEFAULT)
    dtype = dtype or (FP8 if quantize else qkv.dtype)
    qk = torch.empty((num_tokens, num_rotated, head_dim), dtype=dtype, device=qkv.device)
    num_blocks = triton.cdiv(num_rotated, launch.tile)
    _qk_norm_rope[(num_tokens * num_blocks,)](
        qkv,
        q_weight,
        k_weight,
        cos,
        sin,
        qk,
        qkv.stride(0),
        eps,
        Q_HEADS=num_heads,
        HEADS=num_rotated,
        HALF=head_dim // 2,
        BLOCK=triton.next_power_of_2(head_dim // 2),
        INTERLEAVED=interleaved,
        QUANTIZE=quantize,
        TILE=launch.tile,
        NUM_BLOCKS=num_blocks,
        num_warps=launch.warps,
    )
    v = qkv[:, num_rotated * head_dim :].unflatten(1, (num_kv_heads, head_dim))
    return qk[:, :num_heads], qk[:, num_heads:], v


@triton.jit
def _qk_norm_rope(
    qkv_ptr,
    q_weight_ptr,
    k_weight_ptr,
    cos_ptr,
    sin_ptr,
    qk_ptr,
    qkv_stride,
    eps,
    Q_HEADS: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    QUANTIZE: tl.constexpr,
    TILE: tl.constexpr,
    NUM_BLOCKS: tl.constexpr,
):
    token = (tl.program_id(0) // NUM_BLOCKS).to(tl.int64)
    head = (tl.program_id(0) % NUM_BLOCKS) * TILE + tl.arange(0, TILE)[:, None]
    mask = head < HEADS
    start = head * (2 * HALF)
    a, b = _load_pairs(qkv_ptr + token * qkv_stride + start, mask, HALF, BLOCK, INTERLEAVED, TILE)
    one = tl.zeros((1, 1), tl.int32)
    q_a, q_b = _load_pairs(q_weight_ptr + one, one == 0, HALF, BLOCK, INTERLEAVED, 1)
    k_a, k_b = _load_pairs(k_weight_ptr + one, one == 0, HALF, BLOCK, INTERLEAVED, 1)
    norm = tl.rsqrt(tl.sum(a * a + b * b, 1) / (2 * HALF) + eps)[:, None]
    a *= norm * tl.where(head < Q_HEADS, q_a, k_a)
    b *= norm * tl.where(head < Q_HEADS, q_b, k_b)
    pair = tl.arange(0, BLOCK)
    cos = tl.load(cos_ptr + token * HALF + pair, mask=pair < HALF, other=0.0)[None, :]
    sin = tl.load(sin_ptr + token * HALF + pair, mask=pair < HALF, other=0.0)[None, :]
    out = qk_ptr + token * (HEADS * 2 * HALF) + start
    a, b = a * cos - b * sin, a * sin + b * cos
    if QUANTIZE:
        a, b = to_fp8(a, 1.0), to_fp8(b, 1.0)
    _store_pairs(out, a, b, mask, HALF, BLOCK, INTERLEAVED, TILE)


@triton.jit
def _load_pairs(
    start,
    mask,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    TILE: tl.constexpr,
):
    """Both members of each rotated pair. start [TILE, 1] -> a, b [TILE, BLOCK] float32."""
    if INTERLEAVED:  # loaded 16 bytes at a time and parted in registers
        column = tl.arange(0, 2 * BLOCK)[None, :]
        x = tl.load(start + column, mask=mask & (column < 2 * HALF), other=0.0).to(tl.float32)
        a, b = tl.split(tl.reshape(x, (TILE, BLOCK, 2)))
    else:
        column = tl.arange(0, BLOCK)[None, :]
        mask = mask & (column < HALF)
        a = tl.load(start + column, mask=mask, other=0.0).to(tl.float32)
        b = tl.load(start + HALF + column, mask=mask, other=0.0).to(tl.float32)
    return a, b


@triton.jit
def _store_pairs(
    start,
    a,
    b,
    mask,
    HALF: tl.constexpr,
    BLOCK: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    TILE: tl.constexpr,
):
    if INTERLEAVED:
        column = tl.arange(0, 2 * BLOCK)[None, :]
        x = tl.reshape(tl.join(a, b), (TILE, 2 * BLOCK))
        tl.store(start + column, x, mask=mask & (column < 2 * HALF))
    else:
        column = tl.arange(0, BLOCK)[None, :]
        mask = mask & (column < HALF)
        tl.store(start + column, a, mask=mask)
        tl.store(start + HALF + column, b, mask=mask)
