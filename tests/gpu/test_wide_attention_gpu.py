"""The VAE's attention at lengths that fill its parts and at lengths that are padded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mezzotint.models.shared.wide_attention import pad_tokens, wide_attention

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
MARGIN = 2.0  # times the error of torch's attention in bfloat16


@pytest.mark.parametrize("length", [45, 1024, 4133, 4224])
def test_errs_no_more_than_torchs_attention(length: int) -> None:
    generator = torch.Generator("cuda").manual_seed(length)
    q, k, v = (
        torch.randn(2, length, 512, generator=generator, device="cuda").bfloat16() for _ in range(3)
    )
    exact = _torchs(q.double(), k.double(), v.double())
    padded = (pad_tokens(x) for x in (q, k, v))
    ours = wide_attention(*padded, length)[:, :length]
    assert _error(ours, exact) <= MARGIN * _error(_torchs(q, k, v), exact)


def test_what_pads_is_never_attended_to() -> None:
    q, k, v = (torch.randn(1, 512, 512, device="cuda").bfloat16() for _ in range(3))
    expected = wide_attention(q, k, v, 300)
    k[:, 300:], v[:, 300:] = 1e3, 1e3
    assert torch.equal(wide_attention(q, k, v, 300), expected)


def _torchs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]


def _error(y: Tensor, exact: Tensor) -> float:
    return ((y - exact).norm() / exact.norm()).item()
