"""The single-stream diffusion transformer of Z-Image, on packed sequences.

Source: the Z-Image report (arXiv 2511.22699) and the released configuration. Shapes in comments:
T tokens of all requests laid end to end, R requests, D = dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mezzotint.kernels import (
    Backend,
    Product,
    Rows,
    Weight,
    attention,
    attention_fp8,
    layer_norm_modulate,
    linear,
    product,
    qk_norm_rope,
    residual_norm,
    residual_norm_modulate,
    rms_norm_modulate,
    swiglu,
)
from mezzotint.models.zimage.config import MODULATION_WIDTH, TransformerConfig
from mezzotint.models.zimage.layout import Layout, Sequence
from mezzotint.models.zimage.modulation import Modulation, Modulations

FINAL_NORM_EPS = 1e-6


class Entry(NamedTuple):
    """How a block reads the stream: its first norm, its scale by time, and in what precision."""

    norm: Tensor  # [D]
    scale: Tensor | None  # [R, D] float32, already 1 + s
    quantize: bool


class Block(nn.Module):
    """Attention and SwiGLU between sandwich norms; modulated by time unless it reads captions."""

    def __init__(self, config: TransformerConfig, modulated: bool) -> None:
        super().__init__()
        dim, hidden = config.dim, config.ffn_hidden
        self.num_heads = config.num_heads
        self.eps = config.norm_eps
        self.attention_backend: Backend | None = None  # None: the table's choice
        self.attention_fp8 = False
        self.qkv: Weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.q_norm = nn.Parameter(torch.empty(config.head_dim))
        self.k_norm = nn.Parameter(torch.empty(config.head_dim))
        self.out: Weight = nn.Parameter(torch.empty(dim, dim))
        self.w13: Weight = nn.Parameter(torch.empty(2 * hidden, dim))
        self.w2: Weight = nn.Parameter(torch.empty(dim, hidden))
        self.attention_norm1 = nn.Parameter(torch.empty(dim))
        self.attention_norm2 = nn.Parameter(torch.empty(dim))
        self.ffn_norm1 = nn.Parameter(torch.empty(dim))
        self.ffn_norm2 = nn.Parameter(torch.empty(dim))
        self.modulation = nn.Linear(MODULATION_WIDTH, 4 * dim) if modulated else None

    def entry(self, m: Modulation | None) -> Entry:
        """What the block before must do for this one."""
        scale = m.scale_msa if m else None
        return Entry(self.attention_norm1, scale, _in_fp8(self.qkv))

    def forward(
        self, x: Tensor, h: Rows, seq: Sequence, m: Modulation | None, after: Entry | None
    ) -> tuple[Tensor, Rows]:
        """x, the stream [T, D], and h, x as `entry` wants it -> the same for the next block.

        The last block has none after it, and returns its x for h.
        """
        gate_msa, scale_mlp, gate_mlp = (m.gate_msa, m.scale_mlp, m.gate_mlp) if m else (None,) * 3
        x, h = residual_norm_modulate(
            x,
            self._attend(h, seq),
            self.attention_norm2,
            self.ffn_norm1,
            self.eps,
            gate_msa,
            scale_mlp,
            seq.request,
            quantize=_in_fp8(self.w13),
        )
        branch = product(swiglu(product(h, self.w13), quantize=_in_fp8(self.w2)), self.w2)
        if after is None:
            x = residual_norm(x, branch, self.ffn_norm2, self.eps, gate_mlp, seq.request)
            return x, x
        return residual_norm_modulate(
            x,
            branch,
            self.ffn_norm2,
            after.norm,
            self.eps,
            gate_mlp,
            after.scale,
            seq.request,
            quantize=after.quantize,
        )

    def _attend(self, h: Rows, seq: Sequence) -> Product:
        q, k, v = qk_norm_rope(
            linear(h, self.qkv),
            self.q_norm,
            self.k_norm,
            seq.cos,
            seq.sin,
            self.eps,
            self.num_heads,
            self.num_heads,
            interleaved=True,
            quantize=self.attention_fp8,
        )
        if self.attention_fp8:
            return product(attention_fp8(q, k, v, seq.segments), self.out)
        y = attention(q, k, v, seq.segments, backend=self.attention_backend)
        return product(y, self.out)

    def modulate(self, c: Tensor) -> Tensor:
        """c [R, 256], raw (no SiLU) -> [R, 4, D]: scale, gate, scale, gate of a Modulation."""
        if self.modulation is None:
            raise TypeError("a caption block has no modulation")
        rows = self.modulation(c).float().unflatten(-1, (4, -1))  # [R, 4, D]
        return torch.stack(
            [1 + rows[:, 0], rows[:, 1].tanh(), 1 + rows[:, 2], rows[:, 3].tanh()], 1
        )


class Transformer(nn.Module):
    """Predicts the flow's velocity (clean minus noise) at every image token."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.t_embedder = nn.Sequential(
            nn.Linear(MODULATION_WIDTH, config.time_hidden),
            nn.SiLU(),
            nn.Linear(config.time_hidden, MODULATION_WIDTH),
        )
        self.x_embedder = nn.Linear(config.patch_width, dim)
        self.cap_norm = nn.Parameter(torch.empty(config.caption_width))
        self.cap_embedder = nn.Linear(config.caption_width, dim)
        self.x_pad_token = nn.Parameter(torch.empty(1, dim))
        self.cap_pad_token = nn.Parameter(torch.empty(1, dim))
        self.noise_refiner = _blocks(config, config.num_refiner_layers, modulated=True)
        self.context_refiner = _blocks(config, config.num_refiner_layers, modulated=False)
        self.layers = _blocks(config, config.num_layers, modulated=True)
        self.final_modulation = nn.Linear(MODULATION_WIDTH, dim)
        self.final = nn.Linear(dim, config.patch_width)

    def attend_with(self, backend: Backend | None) -> None:
        """Let one library attend in every block, or the table choose (None)."""
        for block in (*self.noise_refiner, *self.context_refiner, *self.layers):
            cast("Block", block).attention_backend = backend

    def attend_in_fp8(self, choose: Callable[[str], bool]) -> None:
        """Attend in FP8 in the blocks whose names `choose` takes."""
        for name, block in self.named_modules():
            if isinstance(block, Block):
                block.attention_fp8 = choose(name)

    @property
    def dtype(self) -> torch.dtype:
        return self.x_pad_token.dtype

    def forward(self, x: Tensor, captions: Tensor, layout: Layout, m: Modulations) -> Tensor:
        """One velocity per image token of every segment.

        x: patches of every request [sum of image tokens, patch_width]; captions: refined, padded
        captions of every segment [sum of caption tokens, D]
        -> [sum of image tokens over segments, patch_width].
        """
        x = self.x_embedder(x.to(self.dtype))
        if layout.image_source is not None:
            x = torch.cat([x, self.x_pad_token])[layout.image_source]
        x = _through(self.noise_refiner, x, layout.images, m.noise_refiner)
        x = torch.cat([x, captions])
        if layout.joint_source is not None:
            x = x[layout.joint_source]
        x = _through(self.layers, x, layout.joint, m.layers)
        rows = slice(sum(layout.output_lengths)) if layout.output is None else layout.output
        return self._head(x[rows], layout.joint.request[rows], m.final_scale)

    def refine_captions(self, features: Tensor, source: Tensor, seq: Sequence) -> Tensor:
        """Embed text features, pad with the learned token and refine; once per prompt.

        features [sum of exact lengths, caption_width]; source [sum of padded lengths]: each row's
        place in [features ; pad token] -> [sum of padded lengths, D].
        """
        c = rms_norm_modulate(features.to(self.dtype), self.cap_norm, self.config.norm_eps)
        x = torch.cat([self.cap_embedder(c), self.cap_pad_token])[source]
        return _through(self.context_refiner, x, seq, (None,) * len(self.context_refiner))

    def modulation_rows(self, t: Tensor) -> Tensor:
        """All that the time decides. t [R], 1 - sigma -> [R, 4 * blocks + 1, D]; float32."""
        c = self.t_embedder(_sinusoid(t * self.config.t_scale).to(self.dtype))
        final = 1 + self.final_modulation(functional.silu(c)).float()
        blocks = (*self.noise_refiner, *self.layers)
        return torch.cat([*(cast("Block", b).modulate(c) for b in blocks), final[:, None]], 1)

    def _head(self, x: Tensor, request: Tensor, scale: Tensor) -> Tensor:
        return cast("Tensor", self.final(layer_norm_modulate(x, FINAL_NORM_EPS, scale, request)))


def _in_fp8(weight: Weight) -> bool:
    return not isinstance(weight, Tensor)


def _through(
    blocks: Iterable[nn.Module], x: Tensor, seq: Sequence, modulations: Iterable[Modulation | None]
) -> Tensor:
    """Run blocks one after the other. Each ends in the norm that the next begins with, so that
    the stream is read once for both."""
    pairs = [(cast("Block", b), m) for b, m in zip(blocks, modulations, strict=True)]
    entries = [block.entry(m) for block, m in pairs]
    first = entries[0]
    h = rms_norm_modulate(
        x, first.norm, pairs[0][0].eps, first.scale, seq.request, quantize=first.quantize
    )
    for (block, m), after in zip(pairs, [*entries[1:], None], strict=True):
        x, h = block(x, h, seq, m, after)
    return x


def _blocks(config: TransformerConfig, num: int, modulated: bool) -> nn.ModuleList:
    return nn.ModuleList(Block(config, modulated) for _ in range(num))


def _sinusoid(t: Tensor) -> Tensor:
    """t [R] -> [R, 256]: cosines first, then sines; periods up to 10000."""
    half = MODULATION_WIDTH // 2
    k = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t[:, None].float() * torch.exp(-math.log(10000.0) * k / half)
    return torch.cat([angles.cos(), angles.sin()], -1)
