"""The operations models are written in: a Triton kernel for CUDA tensors, else the reference.

Each has a folder with its formula. Triton is imported on the first CUDA call, so importing this
needs neither a GPU nor triton.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from mezzotint.kernels.add_bias import reference as _add_bias
from mezzotint.kernels.attention import reference as _attention
from mezzotint.kernels.attention.backend import Backend
from mezzotint.kernels.attention_fp8 import reference as _attention_fp8
from mezzotint.kernels.conv_window import reference as _conv_window
from mezzotint.kernels.flow_step import reference as _flow_step
from mezzotint.kernels.fp8 import Fp8Matrix, Fp8Rows, Fp8Values, Product, Rows, ScaledRows, Weight
from mezzotint.kernels.group_norm_silu import reference as _group_norm_silu
from mezzotint.kernels.layer_norm_modulate import reference as _layer_norm_modulate
from mezzotint.kernels.linear import reference as _linear
from mezzotint.kernels.product import reference as _product
from mezzotint.kernels.product.reference import quantize_matrix
from mezzotint.kernels.qk_norm_rope import reference as _qk_norm_rope
from mezzotint.kernels.quantize_rows import reference as _quantize_rows
from mezzotint.kernels.residual_norm import reference as _residual_norm
from mezzotint.kernels.rms_norm_modulate import reference as _rms_norm_modulate
from mezzotint.kernels.segments import Segments
from mezzotint.kernels.softmax_rows import reference as _softmax_rows
from mezzotint.kernels.swiglu import reference as _swiglu
from mezzotint.kernels.to_pixels import reference as _to_pixels

__all__ = [
    "Backend",
    "Fp8Matrix",
    "Fp8Rows",
    "Fp8Values",
    "Product",
    "Rows",
    "ScaledRows",
    "Segments",
    "Weight",
    "add_bias",
    "attention",
    "attention_fp8",
    "attention_reads_bounds",
    "conv_window",
    "flow_step",
    "group_norm_affine",
    "group_norm_silu",
    "layer_norm_modulate",
    "linear",
    "product",
    "qk_norm_rope",
    "quantize_matrix",
    "quantize_rows",
    "residual_norm",
    "residual_norm_modulate",
    "rms_norm_modulate",
    "softmax_rows",
    "swiglu",
    "to_pixels",
]


def add_bias(x: Tensor, bias: Tensor, out: Tensor, residual: Tensor | None = None) -> Tensor:
    """Write x + bias, plus a residual (perhaps `out` itself), to `out`; all are [H, W, C]."""
    if not _on_gpu(x):
        return _add_bias.add_bias(x, bias, out, residual)
    from mezzotint.kernels.add_bias import triton

    return triton.add_bias(x, bias, out, residual)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Segments,
    causal: bool = False,
    *,
    backend: Backend | None = None,
) -> Tensor:
    """Attend within segments. q [T, H, D], k and v [T, KV, D] -> [T, H * D].

    On a GPU by `backend`, or by the table of kernels/attention/cuda.py.
    """
    if not q.is_cuda:
        return _attention.attention(q, k, v, segments, causal)
    from mezzotint.kernels.attention import cuda  # torch's own call: no triton in it

    return cuda.attention(q, k, v, segments, causal, backend=backend)


def attention_reads_bounds(
    device: torch.device, dtype: torch.dtype, head_dim: int, backend: Backend | None
) -> bool:
    """Whether attention finds its segments on the device: one recording then serves every mix."""
    if device.type != "cuda":
        return False
    from mezzotint.kernels.attention import cuda

    return (backend or cuda.choose(device, dtype, head_dim, causal=False)) == "fa4"


def attention_fp8(q: Tensor, k: Tensor, v: Tensor, segments: Segments) -> Tensor:
    """Attend within segments in FP8. q and k [T, H, D] e4m3, v [T, H, D] -> [T, H * D] like v."""
    if not _on_gpu(v):
        return _attention_fp8.attention_fp8(q, k, v, segments)
    from mezzotint.kernels.attention_fp8 import triton

    return triton.attention_fp8(q, k, v, segments)


def conv_window(
    x: Tensor, out: Tensor, start: int, affine: Tensor | None = None, scale: int = 1
) -> Tensor:
    """Write some rows of what a 3x3 convolution reads, with zeros beyond the picture.

    x [H, W, C] -> out [R, scale W, C]: rows from `start` of x, enlarged by repetition, or of
    silu(a x + s) for affine [2, C].
    """
    if not _on_gpu(x):
        return _conv_window.conv_window(x, out, start, affine, scale)
    from mezzotint.kernels.conv_window import triton

    return triton.conv_window(x, out, start, affine, scale)


def flow_step(
    x: Tensor,
    pos: Tensor,
    neg: Tensor | None,
    sigma: float,
    next_sigma: float,
    guidance: float,
    rescale: float,
) -> Tensor:
    """Move one latent [T, C] float32 from noise level sigma to next_sigma."""
    if not _on_gpu(x):
        return _flow_step.flow_step(x, pos, neg, sigma, next_sigma, guidance, rescale)
    from mezzotint.kernels.flow_step import triton

    return triton.flow_step(x, pos, neg, sigma, next_sigma, guidance, rescale)


def group_norm_affine(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float
) -> Tensor:
    """Find the norm's map of each channel, y = a x + s. x [B, C, H, W] -> (a, s) [B, 2, C]."""
    if not _on_gpu(x):
        return _group_norm_silu.group_norm_affine(x, weight, bias, num_groups, eps)
    from mezzotint.kernels.group_norm_silu import triton

    return triton.group_norm_affine(x, weight, bias, num_groups, eps)


def group_norm_silu(
    x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float, silu: bool = True
) -> Tensor:
    """Normalise groups of channels, then SiLU. x [B, C, H, W], weight and bias [C]."""
    if not _on_gpu(x):
        return _group_norm_silu.group_norm_silu(x, weight, bias, num_groups, eps, silu)
    from mezzotint.kernels.group_norm_silu import triton

    return triton.group_norm_silu(x, weight, bias, num_groups, eps, silu)


def layer_norm_modulate(
    x: Tensor, eps: float, scale: Tensor, index: Tensor | None = None
) -> Tensor:
    """Normalise each token of x [T, D] about its mean; scale it by its segment's row [S, D]."""
    if not _on_gpu(x):
        return _layer_norm_modulate.layer_norm_modulate(x, eps, scale, index)
    from mezzotint.kernels.layer_norm_modulate import triton

    return triton.layer_norm_modulate(x, eps, scale, index)


def linear(x: Rows, weight: Weight, bias: Tensor | None = None) -> Tensor:
    """Apply one linear layer in the precision of its weight.

    x [T, K], weight [N, K], bias [N] -> [T, N]. FP8 rows, which have no bias, multiply either FP8
    rows in FP8 or tokens as they are, in the tokens' precision.
    """
    if isinstance(weight, Tensor):
        if isinstance(x, Fp8Rows):
            raise TypeError("FP8 rows were given to a weight that is not in FP8")
        return _linear.linear(x, weight, bias)
    if bias is not None:
        raise TypeError("an FP8 weight has no bias")
    if isinstance(weight, Fp8Matrix):
        raise TypeError("an FP8 matrix leaves its scales to the reader: call product")
    if isinstance(x, Tensor):
        return _linear_of_tokens(x, weight)
    if not x.is_cuda:
        return _linear.linear_fp8(x, weight)
    from mezzotint.kernels.linear import cuda  # torch's own call

    return cuda.linear_fp8(x, weight)


def product(x: Rows, weight: Weight) -> Product:
    """Apply one linear layer for a reader that takes scales with it. x [T, K] -> [T, N].

    With an FP8 matrix the scales wait; any other weight is `linear`'s.
    """
    if not isinstance(weight, Fp8Matrix):
        return linear(x, weight)
    x = quantize_rows(x) if isinstance(x, Tensor) else x
    if not x.is_cuda:
        return _product.product(x, weight)
    from mezzotint.kernels.product import cuda  # torch's own call

    return cuda.product(x, weight)


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
    """Split qkv [T, (H + 2 KV) * D] into q [T, H, D], k and v [T, KV, D]; q and k rotated.

    `quantize` makes q and k e4m3, as attention_fp8 reads them.
    """
    norms = (q_weight, k_weight, cos, sin, eps)
    arguments = (qkv, *norms, num_heads, num_kv_heads, interleaved, quantize)
    if not _on_gpu(qkv):
        return _qk_norm_rope.qk_norm_rope(*arguments)
    from mezzotint.kernels.qk_norm_rope import triton

    return triton.qk_norm_rope(*arguments)


def quantize_rows(x: Tensor) -> Fp8Rows:
    """Quantise each row of x [R, K] to FP8 by its largest element."""
    if not _on_gpu(x):
        return _quantize_rows.quantize_rows(x)
    from mezzotint.kernels.quantize_rows import triton

    return triton.quantize_rows(x)


def residual_norm(
    x: Tensor,
    branch: Product,
    weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    index: Tensor | None = None,
) -> Tensor:
    """Add a normalised, gated branch [T, D] to the residual stream x [T, D]."""
    if not _on_gpu(x):
        return _residual_norm.residual_norm(x, branch, weight, eps, gate, index)
    from mezzotint.kernels.residual_norm import triton

    return triton.residual_norm(x, branch, weight, eps, gate, index)


def residual_norm_modulate(
    x: Tensor,
    branch: Product,
    post_weight: Tensor,
    pre_weight: Tensor,
    eps: float,
    gate: Tensor | None = None,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
) -> tuple[Tensor, Rows]:
    """residual_norm and the next rms_norm_modulate, in one pass over the tokens."""
    arguments = (x, branch, post_weight, pre_weight, eps, gate, scale, index, quantize)
    if not _on_gpu(x):
        return _residual_norm.residual_norm_modulate(*arguments)
    from mezzotint.kernels.residual_norm import triton

    return triton.residual_norm_modulate(*arguments)


def rms_norm_modulate(
    x: Tensor,
    weight: Tensor,
    eps: float,
    scale: Tensor | None = None,
    index: Tensor | None = None,
    quantize: bool = False,
) -> Rows:
    """Normalise each token of x [T, D] and scale it by its segment's row of scale [S, D].

    -> [T, D] in x's dtype, or FP8 rows if `quantize`.
    """
    if not _on_gpu(x):
        return _rms_norm_modulate.rms_norm_modulate(x, weight, eps, scale, index, quantize)
    from mezzotint.kernels.rms_norm_modulate import triton

    return triton.rms_norm_modulate(x, weight, eps, scale, index, quantize)


def softmax_rows(x: Tensor, scale: float, into: torch.dtype, columns: int) -> Tensor:
    """Turn each row of scores x [R, K] float32 into shares of dtype `into`: softmax(scale x).

    Only the first `columns` of a row are scores; the shares of the others are 0.
    """
    if not _on_gpu(x):
        return _softmax_rows.softmax_rows(x, scale, into, columns)
    from mezzotint.kernels.softmax_rows import triton

    return triton.softmax_rows(x, scale, into, columns)


def swiglu(x: Product, quantize: bool = False) -> Rows:
    """Gate the two halves of a merged projection. x [T, 2 F] -> [T, F]."""
    if not _on_gpu(x):
        return _swiglu.swiglu(x, quantize)
    from mezzotint.kernels.swiglu import triton

    return triton.swiglu(x, quantize)


def to_pixels(x: Tensor) -> Tensor:
    """Turn a decoded picture into bytes. x [3, H, W] in [-1, 1] -> [H, W, 3] uint8."""
    if not _on_gpu(x):
        return _to_pixels.to_pixels(x)
    from mezzotint.kernels.to_pixels import triton

    return triton.to_pixels(x)


def _linear_of_tokens(x: Tensor, weight: Fp8Rows) -> Tensor:
    if not _on_gpu(x):
        return _linear.linear(x, weight)
    from mezzotint.kernels.linear import triton

    return triton.linear(x, weight)


def _on_gpu(x: Product) -> bool:
    if not x.is_cuda:
        return False
    if not _has_triton():
        raise ImportError(
            "tensors are on a GPU and triton, which holds the GPU kernels, is not installed: "
            "pip install triton (the CUDA builds of torch on Linux bring it with them)"
        )
    return True


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return find_spec("triton") is not None
