"""y = silu(x1) * x3, with x1 and x3 side by side."""

from __future__ import annotations

from torch.nn import functional

from mezzotint.kernels.fp8 import Product, Rows, numbers
from mezzotint.kernels.quantize_rows.reference import quantize_rows


def swiglu(x: Product, quantize: bool = False) -> Rows:
    """Gate the two halves of a merged projection. x [T, 2 F] -> [T, F]; float32 inside.

    Rounded once: to x's dtype, or to FP8 rows.
    """
    dtype = x.dtype
    gate, value = numbers(x).chunk(2, -1)
    if quantize:
        return quantize_rows(functional.silu(gate.float()) * value.float())
    if dtype.itemsize == 4:  # float32: no casts, half the traffic on a CPU
        return functional.silu(gate).mul_(value)
    return (functional.silu(gate.float()) * value.float()).to(dtype)
