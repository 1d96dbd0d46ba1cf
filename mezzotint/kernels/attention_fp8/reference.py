"""softmax(q k^T / sqrt(D)) v within each segment, with P and v rounded to e4m3 as a GPU does."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels.fp8 import FP8, FP8_MAX, saturate
from mezzotint.kernels.segments import Segments

BLOCK = 128  # tokens of a head whose v share a scale, a power of two
SMALLEST = 2.0**-40  # v of zeros keep a scale they can be divided by
P_BITS = 8  # P is at most 2^8: rounded to e4m3 it is whole down to 2^-14 of the row's largest
LOG2_E = math.log2(math.e)
HEAD_DIMS = (32, 64, 128)

_ROWS = 1024  # of scores at a time: 4160 tokens take 17 MB a head


def attention_fp8(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Attend within segments in FP8. q and k [T, H, D] e4m3, v [T, H, D] -> [T, H * D] like v.

    Rows that belong to no segment are zeros.
    """
    check_heads(q, k, v)
    values, exponents = _quantize_values(v, segments.lengths)
    y = torch.zeros(v.shape, dtype=v.dtype, device=v.device)
    bounds = pairwise(accumulate(segments.lengths, initial=0))
    for start, end in (pair for pair in bounds if pair[0] < pair[1]):
        for head in range(v.shape[1]):
            rows = (slice(start, end), head)
            y[rows] = _attend(q[rows], k[rows], values[rows], exponents[rows]).to(y.dtype)
    return y.flatten(1)


def check_heads(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Refuse heads that the kernel would misread, with the remedy."""
    if not q.shape == k.shape == v.shape or v.shape[2] not in HEAD_DIMS:
        raise ValueError(
            f"q, k and v have shapes {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}; "
            f"attention in FP8 takes equal ones with heads of {HEAD_DIMS}: attend otherwise"
        )
    for name, x in {"q": q, "k": k, "v": v}.items():
        if x.stride()[1:] != (x.shape[2], 1):
            raise ValueError(
                f"{name} has strides {x.stride()}; a kernel reads a token's heads side by side: "
                "call .contiguous()"
            )
    if q.dtype != FP8 or k.dtype != FP8:
        raise TypeError(f"q is {q.dtype} and k {k.dtype}; both must be {FP8}")


def _quantize_values(v: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """v 2^-b in e4m3 as float32 [T, H, D], and b of each token and head [T, H]."""
    num_tokens, num_owned = v.shape[0], sum(lengths)
    blocks = functional.pad(v[:num_owned].float(), (0, 0, 0, 0, 0, -num_owned % BLOCK))
    blocks = blocks.unflatten(0, (-1, BLOCK))
    amax = blocks.abs().amax((1, 3)).clamp_min(SMALLEST)
    exponents = (amax / FP8_MAX).log2().ceil().repeat_interleave(BLOCK, 0)[:num_tokens]
    values = v[:num_owned].float() * (-exponents[:num_owned, :, None]).exp2()
    return saturate(values).float(), exponents[:num_owned]


def _attend(q: Tensor, k: Tensor, values: Tensor, exponents: Tensor) -> Tensor:
    """One head of one segment. q, k and values [L, D], exponents [L] -> [L, D] float32."""
    k = k.float().mT * (LOG2_E / q.shape[1] ** 0.5)
    parts = []
    for rows in q.float().split(_ROWS):
        s = rows @ k
        top = (s + exponents).amax(1, keepdim=True).ceil()
        p = (s - (top - exponents - P_BITS)).exp2()
        total = p @ (-exponents).exp2()
        parts.append(p.to(FP8).float() @ values / total[:, None])
    return torch.cat(parts)
