"""The scales of a product, applied by the kernels that read it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def scale_of(scale_ptr, factor_ptr, token):
    """What a row is still to be multiplied by; 1 where nothing waits."""
    scale = tl.full((), 1.0, tl.float32)
    if scale_ptr is not None:
        scale = tl.load(scale_ptr + token) * tl.load(factor_ptr)
    return scale
