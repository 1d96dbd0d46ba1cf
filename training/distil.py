"""Distil guidance and steps: the student's one step is two guided steps of its teacher.

Only one set of weights ships, so it is the student: eight steps without guidance are its default,
and more steps still work, since every phase of the schedule is trained, not eight points alone.
"""

import argparse
import copy
from itertools import pairwise

import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor
from torch.nn import functional as F
from transformers import Qwen3Model

from training import checkpoint
from training.device import autocast, choose_device
from training.forward import compile_blocks, use_real_rope
from training.model import SMOKE, Sizes, build_text_encoder, build_transformer, build_vae
from training.optim import Average, Optimizer
from training.phase import Phase
from training.sampler import guided, shifted
from training.train_dit import Feed, Sample, add_options, make_banks, read_text

STEPS = 8


def distil(options: argparse.Namespace) -> None:
    """Train for --minutes from the checkpoint `dit` and write the checkpoint `student`."""
    device = choose_device()
    sizes = SMOKE if options.smoke else Sizes()
    vae = build_vae(sizes).eval().requires_grad_(False)
    notes = checkpoint.load(options.out / "vae", {"vae": vae})
    encoder, teacher = build_text_encoder(sizes), build_transformer(sizes)
    checkpoint.load(options.out / "dit", {"text_encoder": encoder, "transformer": teacher})
    student = copy.deepcopy(teacher)
    if options.resume and (options.out / "student").exists():
        checkpoint.load(options.out / "student", {"text_encoder": encoder, "transformer": student})
    banks = make_banks(options, vae, notes, device)
    for module in (encoder, teacher):
        module.to(device).eval().requires_grad_(False)
    student.to(device)
    for model in (teacher, student):
        use_real_rope(model)
        if options.compile and device == "cuda":
            compile_blocks(model)
    _fit(encoder, teacher, student, Feed(banks, student, options.tokenizer), options)


def _fit(
    encoder: Qwen3Model, teacher: ZImageTransformer2DModel, student: ZImageTransformer2DModel,
    feed: Feed, options: argparse.Namespace,
) -> None:  # fmt: skip
    optimizer = Optimizer([student], decay=0.0, muon=options.muon)
    average = Average([student], 0.998 if not options.smoke else 0.9)

    def save() -> None:
        average.swap()
        parts = {"text_encoder": encoder, "transformer": student}
        checkpoint.save(options.out / "student", parts, {"steps": phase.steps})
        average.swap()

    phase = Phase("distil", options.minutes, save)
    while phase.running:
        sample = feed.draw(options.batch, phase.steps, drop=0.0)
        with autocast(sample.latents.device.type):
            loss = _loss(encoder, teacher, student, feed, sample, options.guidance)
        loss.backward()
        norm = optimizer.step(phase.rate(options.rate, warm_steps=50))
        average.update()
        phase.tick(options.batch, loss=loss.detach(), norm=norm)
    save()
    print(f"distil: done, {phase.steps} steps", flush=True)


def _loss(
    encoder: Qwen3Model, teacher: ZImageTransformer2DModel, student: ZImageTransformer2DModel,
    feed: Feed, sample: Sample, guidance: float,
) -> Tensor:  # fmt: skip
    """Squared error between the student's velocity and the mean one of two teacher steps."""
    z, geo, mask = sample.latents, sample.geometry, sample.mask
    start = _start(len(z), z.device)
    middle, end = (start - 0.5 / STEPS).clamp_min(0), (start - 1 / STEPS).clamp_min(0)
    levels = [shifted(u) for u in (start, middle, end)]
    with torch.no_grad():
        text = read_text(encoder, sample.tokens)
        blank, blank_mask = feed.blank(geo.caption_tokens)
        empty = (read_text(encoder, blank), blank_mask)
        s = levels[0].view(-1, 1, 1, 1)
        noisy = (1 - s) * z + s * torch.randn_like(z)
        x = noisy
        for now, then in pairwise(levels):
            step = (now - then).view(-1, 1, 1, 1)
            x = x + step * guided(teacher, x, now, text, mask, empty, guidance, geo)
        target = (x - noisy) / (levels[0] - levels[2]).view(-1, 1, 1, 1)
    from_student = guided(student, noisy, levels[0], text, mask, empty, 0.0, geo)
    return F.mse_loss(from_student, target)


def _start(count: int, device: torch.device) -> Tensor:
    """Where a step starts: on the grid of eight for most, between its points for the rest."""
    u = torch.randint(1, STEPS + 1, (count,), device=device) / STEPS
    between = torch.rand(count, device=device) < 0.35
    return torch.where(between, u - torch.rand_like(u) * 0.9 / STEPS, u)


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, minutes=2.0, pictures=150_000)
    parser.add_argument("--guidance", type=float, default=1.5, help="the teacher's")
    parser.set_defaults(seed=200, rate=3e-4)
    distil(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
