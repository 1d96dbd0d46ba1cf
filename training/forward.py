"""The transformer's forward for a whole batch of one size, over diffusers' own modules.

Equal to ZImageTransformer2DModel's own forward (a test holds it to 1e-4), image pads included.
"""

from dataclasses import dataclass

import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor
from torch.nn import functional as F

TOKEN_MULTIPLE = 32


@dataclass(frozen=True)
class Geometry:
    """What depends on the picture's size and the padded caption's length alone.

    image_rope, caption_rope: (cos, sin), float32 [1, tokens, 1, head_dim / 2]; the image's with
    its pads, which sit at position (0, 0, 0).
    """

    tokens_high: int
    tokens_wide: int
    num_pads: int
    caption_tokens: int
    image_rope: tuple[Tensor, Tensor]
    caption_rope: tuple[Tensor, Tensor]


def geometry(
    model: ZImageTransformer2DModel, width: int, height: int, caption_tokens: int, device: str
) -> Geometry:
    """Positions for a picture of width x height pixels after `caption_tokens` padded tokens."""
    high, wide = height // 16, width // 16
    pads = -(high * wide) % TOKEN_MULTIPLE
    ys, xs = torch.meshgrid(torch.arange(high), torch.arange(wide), indexing="ij")
    image = torch.stack([torch.full_like(ys, caption_tokens + 1), ys, xs], -1).reshape(-1, 3)
    image = torch.cat([image, torch.zeros(pads, 3, dtype=image.dtype)])
    caption = torch.zeros(caption_tokens, 3, dtype=image.dtype)
    caption[:, 0] = torch.arange(1, caption_tokens + 1)
    return Geometry(
        high, wide, pads, caption_tokens, _rope(model, image, device), _rope(model, caption, device)
    )


def predict(
    model: ZImageTransformer2DModel, z: Tensor, t: Tensor, text: Tensor, mask: Tensor, geo: Geometry
) -> Tensor:
    """Velocity (clean minus noise) of latents z [B, 16, H/8, W/8] at t [B], 0 noise to 1 clean.

    text: [B, L, D] features of a padded caption; mask: bool [B, L], True for real tokens.
    """
    b, c = z.shape[:2]
    h, w = geo.tokens_high, geo.tokens_wide
    emb = model.t_embedder(t * model.t_scale)
    x = z.view(b, c, h, 2, w, 2).permute(0, 2, 4, 3, 5, 1).reshape(b, h * w, 4 * c)
    x = model.all_x_embedder["2-1"](x)
    pads = model.x_pad_token.to(x.dtype).expand(b, geo.num_pads, -1)
    x = torch.cat([x, pads], 1)
    for block in model.noise_refiner:
        x = block(x, None, geo.image_rope, emb)
    y = model.cap_embedder(text)
    y = torch.where(mask[..., None], y, model.cap_pad_token.to(y.dtype))
    for block in model.context_refiner:
        y = block(y, None, geo.caption_rope)
    joint = torch.cat([x, y], 1)
    pairs = zip(geo.image_rope, geo.caption_rope, strict=True)
    rope = tuple(torch.cat(pair, 1) for pair in pairs)
    for block in model.layers:
        joint = block(joint, None, rope, emb)
    out = model.all_final_layer["2-1"](joint[:, : h * w], c=emb)
    return out.view(b, h, w, 2, 2, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, 2 * h, 2 * w)


class RealRope:
    """diffusers' attention processor with real RoPE: the compiler cannot fuse complex."""

    _attention_backend = None
    _parallel_config = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None,
                 freqs_cis=None):  # fmt: skip
        """Attention over [B, N, dim] with freqs_cis = (cos, sin)."""
        b, n, _ = hidden_states.shape
        q, k, v = (
            f(hidden_states).view(b, n, attn.heads, -1) for f in (attn.to_q, attn.to_k, attn.to_v)
        )
        q, k = _rotate(attn.norm_q(q), freqs_cis), _rotate(attn.norm_k(k), freqs_cis)
        q, k, v = (x.to(v.dtype).transpose(1, 2) for x in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, -1)
        return attn.to_out[0](out)


def use_real_rope(model: ZImageTransformer2DModel) -> None:
    """Let every block attend with RealRope; `predict` needs it."""
    shared = RealRope()  # one object, so that compiled blocks share one graph
    for block in (*model.layers, *model.noise_refiner, *model.context_refiner):
        block.attention.processor = shared


def compile_blocks(model: ZImageTransformer2DModel) -> None:
    """Compile each block; equal blocks share graphs, so it costs seconds, not minutes."""
    torch._dynamo.config.recompile_limit = 128
    for block in (*model.layers, *model.noise_refiner, *model.context_refiner):
        block.compile(dynamic=False)


def _rope(model: ZImageTransformer2DModel, ids: Tensor, device: str) -> tuple[Tensor, Tensor]:
    table = model.rope_embedder(ids)[None, :, None]
    return table.real.contiguous().to(device), table.imag.contiguous().to(device)


def _rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
