"""The trained model as one thing that draws captions in batches, for scores and sheets."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Qwen3Model

from training import checkpoint
from training.captions import LONG, SHORT, encode
from training.device import autocast
from training.forward import geometry, use_real_rope
from training.model import SMOKE, Sizes, build_text_encoder, build_transformer, build_vae
from training.sampler import decode, sample
from training.train_dit import read_text

_BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """How to sample: steps, and guidance in diffusers' meaning (0 is none)."""

    steps: int = 8
    guidance: float = 0.0


DEFAULT_RECIPE = Recipe()


@dataclass(frozen=True)
class Painter:
    """Text encoder, transformer, autoencoder and tokenizer, on one device."""

    text_encoder: Qwen3Model
    transformer: ZImageTransformer2DModel
    vae: AutoencoderKL
    tokenizer: Tokenizer
    device: str


def load_painter(run: Path, phase: str, tokenizer: Path, device: str, smoke: bool) -> Painter:
    """The model of a run after `phase` ('dit' or 'student'), weights rounded as they ship."""
    sizes = SMOKE if smoke else Sizes()
    vae, encoder, model = build_vae(sizes), build_text_encoder(sizes), build_transformer(sizes)
    notes = checkpoint.load(run / "vae", {"vae": vae})
    checkpoint.load(run / phase, {"text_encoder": encoder, "transformer": model})
    deviation, mean = float(str(notes["deviation"])), float(str(notes["mean"]))
    vae.register_to_config(scaling_factor=1 / deviation, shift_factor=mean)
    use_real_rope(model)
    for part in (vae, encoder, model):
        part.to(device).eval().requires_grad_(False)
    bpe = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    return Painter(encoder, model, vae, bpe, device)


@torch.no_grad()
def paint(
    painter: Painter, captions: list[str], width: int, height: int, recipe: Recipe, seed: int
) -> Tensor:
    """Draw captions (of at most 64 tokens): float32 [N, 3, height, width] in 0..1."""
    random = torch.Generator().manual_seed(seed)
    pictures = []
    for i in range(0, len(captions), _BATCH):
        part = captions[i : i + _BATCH]
        shape = (len(part), 16, height // 8, width // 8)
        noise = torch.randn(shape, generator=random).to(painter.device)
        pictures.append(_paint(painter, part, width, height, recipe, noise))
    return torch.cat(pictures)


def _paint(
    painter: Painter, captions: list[str], width: int, height: int, recipe: Recipe, noise: Tensor
) -> Tensor:
    """Captions that pad to 32 tokens and those that pad to 64 are drawn apart."""
    _, lengths = encode(painter.tokenizer, captions, LONG)
    out = torch.empty(len(captions), 3, height, width, device=painter.device)
    for padded, fits in ((SHORT, lengths <= SHORT), (LONG, lengths > SHORT)):
        index = torch.from_numpy(fits).nonzero()[:, 0]
        if not len(index):
            continue
        chosen = [captions[i] for i in index.tolist()]
        text, mask = _read(painter, chosen, padded)
        empty = _read(painter, [""], padded)
        geo = geometry(painter.transformer, width, height, padded, painter.device)
        with autocast(painter.device):
            z = sample(painter.transformer, noise[index], text, mask, empty,
                       recipe.guidance, recipe.steps, geo)  # fmt: skip
            out[index] = decode(painter.vae, z)
    return out


def _read(painter: Painter, captions: list[str], padded: int) -> tuple[Tensor, Tensor]:
    tokens, length = encode(painter.tokenizer, captions, padded)
    ids = torch.from_numpy(tokens).long().to(painter.device)
    lengths = torch.from_numpy(length).long().to(painter.device)
    with autocast(painter.device):
        text = read_text(painter.text_encoder, ids)
    return text, torch.arange(padded, device=painter.device) < lengths[:, None]
