"""Attention on NVIDIA GPUs: which library does it is a static table, never a timing at start."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mezzotint.kernels.attention.backend import Backend, has_fa4
from mezzotint.kernels.attention.reference import attention as reference
from mezzotint.kernels.segments import Segments
from mezzotint.types import ResourceError

# By compute capability (major), the best first; `python -m bench.attention` fills it. On Hopper
# flash-attn-4 leads at every length from 64 to 16448 tokens.
BACKENDS: dict[int, tuple[Backend, ...]] = {9: ("fa4", "cudnn", "flash")}
DEFAULT: tuple[Backend, ...] = ("flash", "cudnn")
FA4_HEAD_DIMS = (64, 128)

_SDPA = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Segments,
    causal: bool = False,
    *,
    backend: Backend | None = None,
) -> Tensor:
    """The reference's operation on a GPU, by `backend` or by the table.

    ResourceError where `backend` cannot do it; the table's choice gives way to the next library.
    """
    chosen = backend or choose(q.device, q.dtype, q.shape[2], causal)
    if chosen == "fa4":
        return _flash_attention_4(q, k, v, segments, causal)
    if backend is not None:
        return _strictly(backend, q, k, v, segments, causal)
    with sdpa_kernel(_order(chosen, q.dtype), set_priority=True):
        return reference(q, k, v, segments, causal)


def choose(device: torch.device, dtype: torch.dtype, head_dim: int, causal: bool) -> Backend:
    """What the table says."""
    if dtype == torch.float32:
        return "efficient"
    return _choose(device, head_dim, causal)


@lru_cache(maxsize=64)
def _choose(device: torch.device, head_dim: int, causal: bool) -> Backend:
    order = BACKENDS.get(torch.cuda.get_device_capability(device)[0], DEFAULT)
    fa4 = not causal and head_dim in FA4_HEAD_DIMS and has_fa4()
    return next(backend for backend in order if backend != "fa4" or fa4)


def _order(first: Backend, dtype: torch.dtype) -> list[SDPBackend]:
    if dtype == torch.float32:  # neither cuDNN nor flash takes it, and only MATH groups heads
        return [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return [_SDPA[first], *(b for b in _SDPA.values() if b != _SDPA[first])]


def _strictly(
    backend: Backend, q: Tensor, k: Tensor, v: Tensor, segments: Segments, causal: bool
) -> Tensor:
    """By one of torch's libraries and no other. torch says only that none is left."""
    try:
        with sdpa_kernel(_SDPA[backend]):
            return reference(q, k, v, segments, causal)
    except RuntimeError as error:
        if "No available kernel" not in str(error):
            raise
        raise ResourceError(
            f"attention {backend} does not take heads of {q.shape[2]} in {q.dtype} on this GPU; "
            "leave attention at auto"
        ) from error


def _flash_attention_4(q: Tensor, k: Tensor, v: Tensor, segments: Segments, causal: bool) -> Tensor:
    varlen, batched = _fa4()
    length = segments.uniform_length
    if length is not None:
        q, k, v = (x.unflatten(0, (-1, length)) for x in (q, k, v))
        return _first(batched(q, k, v, causal=causal)).flatten(0, 1).flatten(1)
    bounds, longest = segments.cu_seqlens, segments.longest
    y = varlen(
        q,
        k,
        v,
        cu_seqlens_q=bounds,
        cu_seqlens_k=bounds,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        causal=causal,
    )
    return _first(y).flatten(1)


def _first(outputs: Any) -> Tensor:
    y: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return y


@lru_cache(maxsize=1)
def _fa4() -> tuple[Any, Any]:
    from flash_attn.cute.interface import flash_attn_func, flash_attn_varlen_func

    return flash_attn_varlen_func, flash_attn_func
