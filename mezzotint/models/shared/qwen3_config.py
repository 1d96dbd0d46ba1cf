"""The sizes of Qwen3."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Config:
    """Sizes of the language model; Qwen3-4B's are the defaults (facts: its config.json)."""

    vocab_size: int = 151936
    hidden_size: int = 2560
    num_layers: int = 36  # of the checkpoint; the encoder runs all but the last
    num_heads: int = 32
    num_kv_heads: int = 8
    head_dim: int = 128  # num_heads * head_dim need not be hidden_size
    intermediate_size: int = 9728
    norm_eps: float = 1e-6
    rope_theta: float = 1e6
