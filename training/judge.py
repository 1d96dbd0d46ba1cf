"""The judge: a small classifier that says what a picture shows, trained on fresh renders."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from training import checkpoint
from training.captions import SIZE_SHARES, lay_out_many
from training.data import art
from training.data.art import STYLES
from training.data.backgrounds import NUM_BACKGROUNDS
from training.data.batch import MOST_THINGS, Batch
from training.data.colour import COLOURS
from training.data.plan import NO_COLOUR
from training.data.render import Stage, know, render, set_stage
from training.device import autocast, choose_device
from training.model import SMOKE, Sizes, build_vae
from training.phase import Phase

_VAE_EVERY = (
    4  # one batch in so many passes through the autoencoder, whose softness must not matter
)


@dataclass(frozen=True)
class Verdict:
    """Logits [B, classes] of subject, colour, background, style and count."""

    subject: Tensor
    colour: Tensor
    background: Tensor
    style: Tensor
    count: Tensor


@dataclass(frozen=True)
class Truth:
    """What a batch shows: subjects int64 [B, 2] (equal for one), the rest int64 [B]."""

    subjects: Tensor
    colour: Tensor
    background: Tensor
    style: Tensor
    count: Tensor


class Judge(nn.Module):
    """A residual network over pictures of any size, with one head a question."""

    def __init__(self, num_subjects: int, width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Sequential(_conv(3, width, 2), nn.ReLU())
        self.blocks = nn.ModuleList(
            _Block(a, b, 1 if i == 0 else 2)
            for i, (a, b) in enumerate(zip([width, *widths], widths))  # noqa: B905
        )
        sizes = (num_subjects, len(COLOURS), NUM_BACKGROUNDS, len(STYLES), MOST_THINGS)
        self.heads = nn.ModuleList(nn.Linear(2 * widths[-1], n) for n in sizes)

    def forward(self, pictures: Tensor) -> Verdict:
        """Judge pictures [B, 3, H, W] in 0..1."""
        x = self.stem(pictures.contiguous(memory_format=torch.channels_last) * 2 - 1)
        for block in self.blocks:
            x = block(x)
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return Verdict(*(head(x) for head in self.heads))


class _Block(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _conv(a, b, stride), _conv(b, b, 1)
        self.skip = nn.Identity() if stride == 1 and a == b else _conv(a, b, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.second(F.relu(self.first(x))))


def _conv(a: int, b: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b))


def truth_of(batch: Batch, device: torch.device) -> Truth:
    """The labels of a batch of pictures."""
    second = np.where(batch.count > 1, batch.subject[:, 1], batch.subject[:, 0])
    arrays = (
        np.stack([batch.subject[:, 0], second], 1),
        np.where(batch.subject[:, 0] == second, batch.colour[:, 0], NO_COLOUR),
        batch.background, batch.style, batch.count - 1,
    )  # fmt: skip
    return Truth(*(torch.from_numpy(a).to(device) for a in arrays))


def train(options: argparse.Namespace) -> None:
    """Train for --minutes and write the checkpoint `judge` under --out."""
    device = choose_device()
    drawings = art.load(options.art)
    world, palette = know(drawings)
    batches = {
        size: lay_out_many(world, max(8, int(options.pictures * share)), size, seed)
        for seed, (size, share) in enumerate(SIZE_SHARES.items(), 300)
    }
    stage = set_stage(drawings, world, palette, SIZE_SHARES, options.variants, device, seed=300)
    vae = build_vae(SMOKE if options.smoke else Sizes()).eval().requires_grad_(False)
    checkpoint.load(options.out / "vae", {"vae": vae})
    vae.to(device).to(memory_format=torch.channels_last)
    judge = Judge(len(world.subjects), 16 if options.smoke else 64).to(device)
    _fit(judge.to(memory_format=torch.channels_last), vae, stage, batches, options)


def _fit(
    judge: Judge, vae: AutoencoderKL, stage: Stage, batches: dict[tuple[int, int], list[Batch]],
    options: argparse.Namespace,
) -> None:  # fmt: skip
    device = stage.plains.device
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.03)
    rng = np.random.default_rng(0)
    sizes, shares = list(batches), list(SIZE_SHARES.values())

    def save() -> None:
        checkpoint.save(options.out / "judge", {"judge": judge}, {}, torch.float32)

    phase = Phase("judge", options.minutes, save, save_every_s=1e9)
    while phase.running:
        chunk = batches[sizes[rng.choice(len(sizes), p=shares)]]
        chosen = chunk[rng.integers(len(chunk))]
        batch = chosen[rng.integers(len(chosen), size=options.batch)]
        pictures = _soften(render(stage, batch), vae, phase.steps)
        with autocast(device.type):
            loss, right = _loss(judge(pictures), truth_of(batch, device))
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = phase.rate(options.rate, warm_steps=100)
        optimizer.step()
        optimizer.zero_grad()
        phase.tick(options.batch, loss=loss.detach(), subject=right)
    save()
    print("judge: done", flush=True)


@torch.no_grad()
def _soften(pictures: Tensor, vae: AutoencoderKL, step: int) -> Tensor:
    """Noise in every batch, blur or the autoencoder in some: the judge must see past softness."""
    if step % _VAE_EVERY == 1:
        with autocast(pictures.device.type):
            z = vae.encode(pictures * 2 - 1).latent_dist.mean
            pictures = vae.decode(z + 0.15 * torch.randn_like(z)).sample.float() / 2 + 0.5
    elif step % _VAE_EVERY == 3:
        small = F.avg_pool2d(pictures, 2)
        pictures = F.interpolate(small, scale_factor=2, mode="bilinear")
    strength = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) * 0.04
    return (pictures + strength * torch.randn_like(pictures)).clamp(0, 1)


def _loss(verdict: Verdict, truth: Truth) -> tuple[Tensor, Tensor]:
    """Cross-entropies; two subjects share the probability, a colour counts where it was asked."""
    log = F.log_softmax(verdict.subject.float(), 1)
    subject = -log.gather(1, truth.subjects).mean()
    colour = truth.colour.masked_fill(truth.colour == NO_COLOUR, -100)
    named = (colour >= 0).sum().clamp_min(1)
    loss = subject + F.cross_entropy(verdict.colour.float(), colour, reduction="sum") / named
    loss = loss + F.cross_entropy(verdict.background.float(), truth.background)
    loss = loss + F.cross_entropy(verdict.style.float(), truth.style)
    loss = loss + F.cross_entropy(verdict.count.float(), truth.count)
    right = (verdict.subject.argmax(1)[:, None] == truth.subjects).any(1).float().mean()
    return loss, right


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"))
    parser.add_argument("--minutes", type=float, default=1.3)
    parser.add_argument("--pictures", type=int, default=300_000)
    parser.add_argument("--variants", type=int, default=32)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--smoke", action="store_true", help="a tiny judge")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
