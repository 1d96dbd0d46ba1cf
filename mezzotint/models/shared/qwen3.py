"""Qwen3 as a text encoder, on packed prompts.

Source: the Qwen3 report (arXiv 2505.09388) and the released configuration. Shapes in comments:
T tokens of all prompts laid end to end, H hidden, D head_dim, Hq and Hkv heads, I intermediate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mezzotint.kernels import (
    Rows,
    Segments,
    attention,
    linear,
    qk_norm_rope,
    rms_norm_modulate,
    swiglu,
)
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.shared.transfer import to_device


class Layer(nn.Module):
    """Causal grouped-query attention, then SwiGLU, each behind a norm and added to the stream."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        hidden, head_dim = config.hidden_size, config.head_dim
        self.eps = config.norm_eps
        self.num_heads = config.num_heads
        self.num_kv_heads = config.num_kv_heads
        qkv_width = (config.num_heads + 2 * config.num_kv_heads) * head_dim
        self.input_norm = nn.Parameter(torch.empty(hidden))
        self.qkv: Rows = nn.Parameter(torch.empty(qkv_width, hidden))
        self.q_norm = nn.Parameter(torch.empty(head_dim))
        self.k_norm = nn.Parameter(torch.empty(head_dim))
        self.out: Rows = nn.Parameter(torch.empty(hidden, config.num_heads * head_dim))
        self.post_norm = nn.Parameter(torch.empty(hidden))
        self.gate_up: Rows = nn.Parameter(torch.empty(2 * config.intermediate_size, hidden))
        self.down: Rows = nn.Parameter(torch.empty(hidden, config.intermediate_size))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, segments: Segments) -> Tensor:
        """x [T, H], cos and sin [T, D/2] float32 -> [T, H]."""
        h = rms_norm_modulate(x, self.input_norm, self.eps)
        x = x + self._attend(h, cos, sin, segments)
        h = rms_norm_modulate(x, self.post_norm, self.eps)
        return x + linear(swiglu(linear(h, self.gate_up)), self.down)

    def _attend(self, h: Rows, cos: Tensor, sin: Tensor, segments: Segments) -> Tensor:
        q, k, v = qk_norm_rope(
            linear(h, self.qkv),
            self.q_norm,
            self.k_norm,
            cos,
            sin,
            self.eps,
            self.num_heads,
            self.num_kv_heads,
            interleaved=False,
        )
        return linear(attention(q, k, v, segments, causal=True), self.out)


class Qwen3(nn.Module):
    """The language model up to its last layer but one: what Z-Image reads as text features."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Parameter(torch.empty(config.vocab_size, config.hidden_size))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers - 1))

    def keep_rows_on_host(self) -> None:
        """Move the embedding rows to the host's memory: Qwen3-4B's are 0.72 GiB in bfloat16."""
        self.embed_tokens = nn.Parameter(self.embed_tokens.cpu(), requires_grad=False)

    def embed(self, ids: Tensor, device: torch.device) -> Tensor:
        """Look up the rows of ids [T] int64, which lie on the host -> [T, H] on the device."""
        if self.embed_tokens.device.type == device.type:
            return functional.embedding(to_device(ids, device), self.embed_tokens)
        return to_device(functional.embedding(ids, self.embed_tokens), device)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        """Encode prompts of exact length, laid end to end.

        x [T, H], embedded; each segment is one prompt, causal and counted from position 0
        -> [T, H] in the model's dtype, before any final norm (hidden_states[-2] of transformers).
        """
        cos, sin = rope_tables(segments, self.config)
        for layer in self.layers:
            x = layer(x, cos, sin, segments)
        return x


def rope_tables(segments: Segments, config: Qwen3Config) -> tuple[Tensor, Tensor]:
    """cos and sin of every token's angles, each [T, D/2] float32; every segment starts at 0.

    Only device tensors are read, so a graph that replays with other segments gets other tables.
    """
    index = segments.index
    positions = torch.arange(index.shape[0], device=index.device) - segments.cu_seqlens[index]
    # In float64 and rounded once: a float32 product loses 3e-5 rad by position 500.
    k = torch.arange(0, config.head_dim, 2, dtype=torch.float64, device=index.device)
    angles = torch.outer(positions.double(), config.rope_theta ** (-k / config.head_dim))
    return angles.cos().float(), angles.sin().float()
