"""The GPU's way of the VAE's attention, in parts over padded tokens, on a CPU's products."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mezzotint.models.shared import wide_attention as module
from mezzotint.models.shared.wide_attention import pad_tokens, wide_attention


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    product = torch.mm

    def mm(a: Tensor, b: Tensor, out_dtype: torch.dtype) -> Tensor:
        return product(a.to(out_dtype), b.to(out_dtype))

    monkeypatch.setattr(module, "_in_parts", lambda _: True)
    monkeypatch.setattr(torch, "mm", mm)


@pytest.mark.parametrize("length", [37, 512, 1300])
def test_parts_over_padded_tokens_equal_the_whole(length: int, in_parts: None) -> None:
    generator = torch.Generator().manual_seed(length)
    q, k, v = (torch.randn(2, length, 64, generator=generator) for _ in range(3))
    padded = [pad_tokens(x) for x in (q, k, v)]
    assert padded[0].shape[1] % module.TOKENS == 0
    padded[1][:, length:], padded[2][:, length:] = 1e3, 1e3  # as a bias makes of zeros
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.allclose(wide_attention(*padded, length)[:, :length], expected, atol=1e-5)
