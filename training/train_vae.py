"""Train the autoencoder on crowded pictures, rendered ahead so that it is never starved."""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from training import checkpoint
from training.captions import lay_out_many
from training.data import art
from training.data.batch import crowd
from training.data.render import Stage, know, render, set_stage
from training.device import autocast, choose_device, compiled
from training.model import SMOKE, Sizes, build_vae
from training.optim import Average, Optimizer
from training.phase import Phase

LATENT_NOISE = 0.07  # added in training, so that the decoder forgives what the transformer misses
_SIZE = (128, 128)


def train(options: argparse.Namespace) -> None:
    """Train for --minutes and write the checkpoint `vae` under --out."""
    device = choose_device()
    drawings = art.load(options.art)
    world, palette = know(drawings)
    plain = lay_out_many(world, options.pictures // 3, _SIZE, seed=11)
    stage = set_stage(drawings, world, palette, [_SIZE], options.variants, device)
    vae = build_vae(SMOKE if options.smoke else Sizes()).to(device)
    vae = vae.to(memory_format=torch.channels_last)
    folder = options.out / "vae"
    if options.resume and folder.exists():
        checkpoint.load(folder, {"vae": vae})
    phase_seconds = time.monotonic()
    bank = _render_bank(stage, options.pictures, plain)
    spent = (time.monotonic() - phase_seconds) / 60
    print(f"vae: {len(bank)} pictures in {spent * 60:.0f} s", flush=True)
    _fit(vae, bank, options, max(options.minutes - spent, 0.02))
    _measure(vae, bank, folder)


def _render_bank(stage: Stage, count: int, plain: list) -> Tensor:
    """Pictures as uint8 [N, 3, H, W] on the device: two thirds crowds, one third ordinary."""
    rng = np.random.default_rng(0)
    device = stage.plains.device
    bank = torch.empty(count, 3, _SIZE[1], _SIZE[0], dtype=torch.uint8, device=device)
    done = 0
    while done < count:
        batch = plain.pop() if plain else crowd(stage.world, min(2048, count - done), *_SIZE, rng)
        batch = batch[: count - done]
        bank[done : done + len(batch)] = (render(stage, batch) * 255 + 0.5).byte()
        done += len(batch)
    return bank


def _fit(vae: AutoencoderKL, bank: Tensor, options: argparse.Namespace, minutes: float) -> None:
    optimizer = Optimizer([vae], decay=1e-3, muon=False)
    average = Average([vae], 0.998)
    step = compiled(_loss, options.compile)

    def save() -> None:
        average.swap()
        checkpoint.save(options.out / "vae", {"vae": vae}, {})
        average.swap()

    phase = Phase("vae", minutes, save)
    while phase.running:
        index = torch.randint(len(bank), (options.batch,), device=bank.device)
        pictures = bank[index].float() / 127.5 - 1
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with autocast(bank.device.type):
            loss, error = step(vae, pictures)
        loss.backward()
        norm = optimizer.step(phase.rate(options.rate, warm_steps=150))
        average.update()
        phase.tick(options.batch, loss=loss.detach(), mse=error, norm=norm)
    average.swap()


def _loss(vae: AutoencoderKL, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """L1, squares and L1 of differences (edges), and a pull of the latents to unit size."""
    mean = vae.encoder(pictures).chunk(2, 1)[0]  # the other half, a variance, stays unused
    drawn = vae.decoder(mean + torch.randn_like(mean) * LATENT_NOISE).float()
    wrong = drawn - pictures
    edges = (wrong[..., 1:, :] - wrong[..., :-1, :]).abs().mean()
    edges = edges + (wrong[..., :, 1:] - wrong[..., :, :-1]).abs().mean()
    squares = wrong.square().mean()
    large = (mean.float().square().mean() - 1).clamp_min(0)
    return wrong.abs().mean() + 4 * squares + 0.5 * edges + 0.01 * large, squares.detach()


@torch.no_grad()
def _measure(vae: AutoencoderKL, bank: Tensor, folder: Path) -> None:
    """Scale of the latents, and PSNR on training pictures, into the checkpoint's notes."""
    vae.eval()
    vae.to(torch.bfloat16).float()  # as it will be stored
    pictures = bank[: min(len(bank), 512)].float() / 127.5 - 1
    with autocast(bank.device.type):
        mean = vae.encode(pictures).latent_dist.mean
        drawn = vae.decode(mean).sample.float().clamp(-1, 1)
    mean = mean.float()
    psnr = -10 * math.log10(F.mse_loss(drawn, pictures).item() / 4)
    notes = {"mean": mean.mean().item(), "deviation": mean.std().item(), "psnr": psnr}
    checkpoint.save(folder, {"vae": vae}, notes)
    print(f"vae: done, PSNR {psnr:.2f} dB on crowds, latents {notes}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"))
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--pictures", type=int, default=160_000, help="rendered ahead")
    parser.add_argument("--variants", type=int, default=64, help="drawings of each scene")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--smoke", action="store_true", help="the tiny model")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
