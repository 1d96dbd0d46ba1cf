"""Train the text encoder and the transformer together by flow matching on the latent bank."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen3Model

from training import checkpoint
from training.captions import LONG, SHORT, SIZE_SHARES, encode, read_captions
from training.data import art
from training.data.render import know, set_stage
from training.device import autocast, choose_device
from training.forward import Geometry, compile_blocks, geometry, predict, use_real_rope
from training.latents import Bank, encode_bank
from training.model import SMOKE, Sizes, build_text_encoder, build_transformer, build_vae
from training.optim import Average, Optimizer
from training.phase import Phase

_DROP = 0.1  # captions replaced by the empty one, so that guidance has something to push from
_LONG_EVERY = 8
_CHINESE = 0.4


@dataclass(frozen=True)
class Sample:
    """A batch: latents [B, 16, h, w], tokens [B, L] with mask, and the geometry they share."""

    latents: Tensor
    tokens: Tensor
    mask: Tensor
    geometry: Geometry


class Feed:
    """Batches from the banks: one size and one caption length each."""

    def __init__(self, banks: list[Bank], model: ZImageTransformer2DModel, tokenizer: Path) -> None:
        self.banks = banks
        device = str(banks[0].latents.device)
        self.shares = [SIZE_SHARES[b.width, b.height] for b in banks]
        self.geometries = {
            (b.width, b.height, n): geometry(model, b.width, b.height, n, device)
            for b in banks for n in (SHORT, LONG)
        }  # fmt: skip
        bpe = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        ids, length = encode(bpe, [""], LONG)
        self.empty = torch.from_numpy(ids).long().to(device)
        self.empty_length = int(length[0])
        self.random = torch.Generator().manual_seed(1)

    def draw(self, batch: int, step: int, drop: float) -> Sample:
        """A random batch; `drop` is the share of captions left empty."""
        which = int(torch.multinomial(torch.tensor(self.shares), 1, generator=self.random))
        bank, long = self.banks[which], step % _LONG_EVERY == _LONG_EVERY - 1
        device, tokens_long = bank.latents.device, LONG if long else SHORT
        index = torch.randint(len(bank.latents), (batch,), device=device)
        column = torch.full((batch,), 2, device=device)
        if not long:
            column = (torch.rand(batch, device=device) < _CHINESE).long()
        tokens = bank.tokens[index, column].long()
        length = bank.length[index, column].long()
        dropped = torch.rand(batch, device=device) < drop
        tokens = torch.where(dropped[:, None], self.empty, tokens)[:, :tokens_long]
        length = torch.where(dropped, self.empty_length, length)
        mask = torch.arange(tokens_long, device=device) < length[:, None]
        geo = self.geometries[bank.width, bank.height, tokens_long]
        return Sample(bank.latents[index].float(), tokens, mask, geo)

    def blank(self, tokens: int) -> tuple[Tensor, Tensor]:
        """The empty caption [1, tokens] and its mask."""
        mask = torch.arange(tokens, device=self.empty.device) < self.empty_length
        return self.empty[:, :tokens], mask[None]


def read_text(encoder: Qwen3Model, tokens: Tensor) -> Tensor:
    """Features [B, L, D]: the encoder is causal and pads stand right, so no mask is needed."""
    out = encoder(input_ids=tokens, output_hidden_states=True, use_cache=False)
    return out.hidden_states[-2]


def make_banks(
    options: argparse.Namespace, vae: AutoencoderKL, notes: dict, device: str
) -> list[Bank]:
    """Render and encode the first `options.pictures` captioned pictures over all sizes."""
    drawings = art.load(options.art)
    world, palette = know(drawings)
    folder = options.out / "captions"
    captioned = [
        read_captions(folder, size, int(options.pictures * share))
        for size, share in SIZE_SHARES.items()
    ]
    stage = set_stage(drawings, world, palette, SIZE_SHARES, options.variants, device, options.seed)
    vae.to(device).to(memory_format=torch.channels_last)
    return [encode_bank(stage, vae, c, notes["mean"], notes["deviation"]) for c in captioned]


def train(options: argparse.Namespace) -> None:
    """Train for --minutes and write the checkpoint `dit` under --out."""
    device = choose_device()
    sizes = SMOKE if options.smoke else Sizes()
    vae = build_vae(sizes).eval().requires_grad_(False)
    notes = checkpoint.load(options.out / "vae", {"vae": vae})
    encoder, model = build_text_encoder(sizes), build_transformer(sizes)
    folder = options.out / "dit"
    if options.resume and folder.exists():
        checkpoint.load(folder, {"text_encoder": encoder, "transformer": model})
    banks = make_banks(options, vae, notes, device)
    encoder.to(device), model.to(device)
    use_real_rope(model)
    if options.compile and device == "cuda":
        compile_blocks(model)
    _fit(encoder, model, Feed(banks, model, options.tokenizer), options)


def _fit(
    encoder: Qwen3Model, model: ZImageTransformer2DModel, feed: Feed, options: argparse.Namespace
) -> None:
    parts: dict[str, nn.Module] = {"text_encoder": encoder, "transformer": model}
    optimizer = Optimizer(parts.values(), decay=0.02, muon=options.muon)
    average = Average(parts.values(), 0.9995 if not options.smoke else 0.9)

    def save() -> None:
        average.swap()
        checkpoint.save(options.out / "dit", parts, {"steps": phase.steps})
        average.swap()

    phase = Phase("dit", options.minutes, save)
    while phase.running:
        sample = feed.draw(options.batch, phase.steps, _DROP)
        with autocast(sample.latents.device.type):
            loss = flow_loss(encoder, model, sample)
        loss.backward()
        norm = optimizer.step(phase.rate(options.rate, warm_steps=300, cool_from=0.35))
        average.update()
        phase.tick(options.batch, loss=loss.detach(), norm=norm)
    save()
    print(f"dit: done, {phase.steps} steps", flush=True)


def flow_loss(encoder: Qwen3Model, model: ZImageTransformer2DModel, sample: Sample) -> Tensor:
    """Squared error of the velocity (clean minus noise) at logit-normal noise levels."""
    z, text = sample.latents, read_text(encoder, sample.tokens)
    noise = torch.randn_like(z)
    sigma = torch.sigmoid(torch.randn(len(z), device=z.device) + 0.2)
    even = torch.rand_like(sigma)
    sigma = torch.where(torch.rand_like(sigma) < 0.15, even, sigma)
    s = sigma.view(-1, 1, 1, 1)
    velocity = predict(
        model, (1 - s) * z + s * noise, 1 - sigma, text, sample.mask, sample.geometry
    )
    return F.mse_loss(velocity.float(), z - noise)


def add_options(parser: argparse.ArgumentParser, minutes: float, pictures: int) -> None:
    """The options that this phase and the distillation share."""
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--tokenizer", type=Path, default=Path("training/work/tokenizer"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"))
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--pictures", type=int, default=pictures, help="in the latent bank")
    parser.add_argument("--variants", type=int, default=96, help="drawings of each scene")
    parser.add_argument("--seed", type=int, default=100, help="of the pictures")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--smoke", action="store_true", help="the tiny model")


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, minutes=7.5, pictures=600_000)
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
