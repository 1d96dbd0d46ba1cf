"""Attention on NVIDIA GPUs: the reference's torch call, with its backend from a static table."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mezzotint.kernels.attention.reference import attention as reference
from mezzotint.kernels.segments import Segments

# By compute capability (major), first that can do it first. On an H200 cuDNN is 1.5 to 1.7 times
# as fast as torch's flash attention at every length from 1056 to 16416.
BACKENDS = {9: (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION)}
DEFAULT = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION)
# Neither of them takes float32, and only the last takes grouped heads in it.
FLOAT32 = (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


def attention(q: Tensor, k: Tensor, v: Tensor, segments: Segments, causal: bool = False) -> Tensor:
    """The reference's operation on a GPU: equal segments as one batch, others one by one."""
    with sdpa_kernel(list(_backends(q.device, q.dtype)), set_priority=True):
        return reference(q, k, v, segments, causal)


@lru_cache(maxsize=16)
def _backends(device: torch.device, dtype: torch.dtype) -> tuple[SDPBackend, ...]:
    if dtype == torch.float32:
        return FLOAT32
    return BACKENDS.get(torch.cuda.get_device_capability(device)[0], DEFAULT)
