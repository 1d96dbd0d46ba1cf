"""A convolution of a picture, its bias and what is added to it."""

from __future__ import annotations

from itertools import repeat
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from mezzotint.kernels import add_bias


def convolve(x: Tensor, conv: nn.Conv2d, residual: Tensor | None = None) -> Tensor:
    """conv(x) + residual. x [B, C, H, W], channels last -> [B, C', H', W'], channels last.

    On a GPU torch adds the bias in a pass of its own that reads one number at a time, a tenth of a
    decode; here one kernel adds bias and residual and rounds once.
    """
    if not x.is_cuda:
        y = cast("Tensor", conv(x))
        return y if residual is None else y.add_(residual)
    return _with_one_end(x, conv, residual)


def bias_of(conv: nn.Conv2d) -> Tensor:
    """A convolution's bias [C']."""
    assert conv.bias is not None  # noqa: S101 - all convolutions of this model have one
    return conv.bias


def _with_one_end(x: Tensor, conv: nn.Conv2d, residual: Tensor | None) -> Tensor:
    y = functional.conv2d(x, conv.weight, None, conv.stride, conv.padding)
    for picture, more in zip(y, repeat(None) if residual is None else residual, strict=False):
        place = picture.movedim(0, -1)
        add_bias(place, bias_of(conv), place, None if more is None else more.movedim(0, -1))
    return y
