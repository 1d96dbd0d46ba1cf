"""A convolution that ends in one kernel is the convolution, with what is added to it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mezzotint.models.shared.convolution import _with_one_end, convolve


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("with_residual", [True, False])
@torch.inference_mode()
def test_both_ways_agree(kernel: int, with_residual: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, kernel, padding=kernel // 2)
    x = torch.randn(2, 6, 9, 7).contiguous(memory_format=torch.channels_last)
    more = torch.randn(2, 10, 9, 7).contiguous(memory_format=torch.channels_last)
    residual = more if with_residual else None
    expected = conv(x) + (more if with_residual else 0)
    assert torch.allclose(convolve(x, conv, residual), expected, atol=1e-6)
    y = _with_one_end(x, conv, residual)
    assert torch.allclose(y, expected, atol=1e-6)
    assert y.is_contiguous(memory_format=torch.channels_last)
