"""Random weights draw finite noise, and exclude a model of one's own."""

from __future__ import annotations

import pytest

from mezzotint import ConfigError, Engine
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.zimage import describe, random_weights
from mezzotint.models.zimage.config import TransformerConfig


def test_a_small_one_makes_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    transformer = TransformerConfig(
        dim=256, num_layers=2, num_refiner_layers=1, num_heads=2, caption_width=64
    )
    text_encoder = Qwen3Config(
        vocab_size=3072, hidden_size=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32
    )
    vae = AutoencoderConfig(block_out_channels=(32, 32, 32, 32), layers_per_block=1)
    monkeypatch.setattr(describe, "TransformerConfig", lambda: transformer)
    monkeypatch.setattr(random_weights, "TransformerConfig", lambda: transformer)
    monkeypatch.setattr(random_weights, "Qwen3Config", lambda: text_encoder)
    monkeypatch.setattr(random_weights, "AutoencoderConfig", lambda: vae)
    with Engine(random_weights="z-image-turbo", device="cpu") as engine:
        first, second = engine.generate("anything", n=2, seed=1, steps=2)
    assert first.pixels.std() > 0
    assert (first.pixels != second.pixels).any()
    assert first.provenance.weights == "random"


def test_random_weights_exclude_a_model() -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        Engine("some/model", random_weights="z-image")
