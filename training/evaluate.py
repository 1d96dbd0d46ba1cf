"""Score the model: what the judge finds in its pictures, as a share of what it finds in renders."""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from training import checkpoint
from training.captions import SHORT, SIZE_SHARES
from training.data import art, chinese, english
from training.data.batch import lay_out_batch
from training.data.plan import NO_COLOUR, Plan, World, is_held_out, sample_plan
from training.data.render import Stage, know, render, set_stage
from training.device import autocast, choose_device
from training.judge import Judge, Truth, Verdict, truth_of
from training.painter import DEFAULT_RECIPE, Painter, Recipe, load_painter, paint
from training.tokenizer import wrap

_SQUARE = (128, 128)
_CHUNK = 512


@dataclass(frozen=True)
class Trial:
    """One row of the table: which prompts, at which size, drawn how."""

    name: str
    held_out: bool = False
    chinese: bool = False
    pairs: bool = False
    size: tuple[int, int] = _SQUARE
    phase: str = "student"
    recipe: Recipe = DEFAULT_RECIPE


def trials() -> list[Trial]:
    """All rows; the first is the default recipe on combinations seen in training."""
    rows = [
        Trial("seen"),
        Trial("held-out", held_out=True),
        Trial("Chinese, seen", chinese=True),
        Trial("Chinese, held-out", chinese=True, held_out=True),
        Trial("two subjects", pairs=True),
        Trial("two subjects, Chinese", pairs=True, chinese=True),
    ]
    rows += [Trial(f"{w}x{h}", size=(w, h)) for w, h in SIZE_SHARES if (w, h) != _SQUARE]
    rows += [
        Trial("4 steps", recipe=Recipe(4)),
        Trial("20 steps", recipe=Recipe(20)),
        Trial("teacher, 20 steps, guidance 1.5", phase="dit", recipe=Recipe(20, 1.5)),
        Trial("teacher, 8 steps, guidance 0", phase="dit", recipe=Recipe(8, 0.0)),
    ]
    return rows


def evaluate(options: argparse.Namespace) -> None:
    """Score all trials and write scores.json and scores.md under --out."""
    device = choose_device()
    drawings = art.load(options.art)
    world, palette = know(drawings)
    stage = set_stage(drawings, world, palette, SIZE_SHARES, options.variants, device, seed=900)
    judge = Judge(len(world.subjects), 16 if options.smoke else 64)
    checkpoint.load(options.out / "judge", {"judge": judge})
    judge.to(device).to(memory_format=torch.channels_last).eval()
    painters = {
        phase: load_painter(options.out, phase, options.tokenizer, device, options.smoke)
        for phase in ("student", "dit")
    }
    rows = []
    for i, trial in enumerate(trials()[:: 5 if options.smoke else 1]):
        row = _score(trial, options.prompts, stage, judge, painters[trial.phase], seed=70 + i)
        print(json.dumps(row), flush=True)
        rows.append(row)
    scores = {
        "prompts_per_row": options.prompts,
        "judge_subject_accuracy": {
            r["name"]: r["real"]["subject"] for r in rows if "subject" in r["real"]
        },
        "vae": {f"{w}x{h}": _psnr(stage, painters["student"], (w, h), options.prompts // 2)
                for w, h in SIZE_SHARES},
        "rows": rows,
    }  # fmt: skip
    (options.out / "scores.json").write_text(json.dumps(scores, indent=1))
    (options.out / "scores.md").write_text(table(scores))
    print(table(scores), flush=True)


def table(scores: dict) -> str:
    """Scores as Markdown: the model's share of the real renders' score, the latter in brackets."""
    names = ("subject", "colour", "style", "background", "count", "both")
    lines = ["| prompts | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in scores["rows"]:
        cells = [
            f"{row['share'][n]:.3f} ({row['real'][n]:.3f})" if n in row["share"] else "–"
            for n in names
        ]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    vae = ", ".join(f"{k}: {v['psnr_db']:.2f} dB" for k, v in scores["vae"].items())
    return "\n".join([*lines, "", f"Autoencoder, PSNR on held-out renders: {vae}", ""])


def prompts_for(
    world: World, tokenizer, trial: Trial, count: int, random: Random
) -> tuple[list[Plan], list[str]]:
    """Plans of a trial with captions that fit the short caption length."""
    language = chinese if trial.chinese else english
    plans, captions = [], []
    while len(plans) < count:
        plan = sample_plan(world, random, _accepts(world, trial))
        caption = language.caption(world, plan, random)
        if len(tokenizer.encode(wrap(caption)).ids) <= SHORT:
            plans.append(plan)
            captions.append(caption)
    return plans, captions


def _accepts(world: World, trial: Trial) -> Callable[[Plan], bool]:
    """Pairs alone or none; nothing so small that the judge itself could not tell."""

    def accept(plan: Plan) -> bool:
        right_kind = (plan.kind == "pair") == trial.pairs and plan.detail != "tiny"
        return right_kind and is_held_out(world, plan) == trial.held_out

    return accept


def _score(
    trial: Trial, count: int, stage: Stage, judge: Judge, painter: Painter, seed: int
) -> dict:
    random = Random(seed)
    plans, captions = prompts_for(stage.world, painter.tokenizer, trial, count, random)
    batch = lay_out_batch(plans, *trial.size, random)
    truth = truth_of(batch, stage.plains.device)
    real = torch.cat([render(stage, batch[i : i + _CHUNK]) for i in range(0, count, _CHUNK)])
    drawn = paint(painter, captions, *trial.size, trial.recipe, seed)
    scores = {"real": _mark(judge, real, truth), "generated": _mark(judge, drawn, truth)}
    share = {
        k: scores["generated"][k] / v if v else 0.0 for k, v in scores["real"].items()
    }  # fmt: skip
    row = asdict(trial)
    return {**{k: row[k] for k in ("name", "size", "phase", "recipe")}, **scores, "share": share}


@torch.no_grad()
def _mark(judge: Judge, pictures: Tensor, truth: Truth) -> dict[str, float]:
    """Shares of right answers; of pairs, whether both subjects are the two likeliest."""
    verdicts = []
    for i in range(0, len(pictures), _CHUNK):
        with autocast(pictures.device.type):
            verdicts.append(judge(pictures[i : i + _CHUNK]))
    v = Verdict(*(torch.cat([getattr(x, k) for x in verdicts]) for k in vars(verdicts[0])))
    right = {
        "style": v.style.argmax(1) == truth.style,
        "background": v.background.argmax(1) == truth.background,
    }
    pair = truth.subjects[:, 0] != truth.subjects[:, 1]
    if pair.all():
        best = v.subject.topk(2, 1).indices.sort(1).values
        right["both"] = (best == truth.subjects.sort(1).values).all(1)
    else:
        right["subject"] = v.subject.argmax(1) == truth.subjects[:, 0]
        right["count"] = v.count.argmax(1) == truth.count
        named = truth.colour != NO_COLOUR
        if named.any():
            right["colour"] = (v.colour.argmax(1) == truth.colour)[named]
    return {k: r.float().mean().item() for k, r in right.items()}


@torch.no_grad()
def _psnr(stage: Stage, painter: Painter, size: tuple[int, int], count: int) -> dict[str, float]:
    """The autoencoder on held-out combinations: PSNR of the mean error, and mean PSNR."""
    random = Random(5)
    held_out = lambda p: is_held_out(stage.world, p)  # noqa: E731
    plans = [sample_plan(stage.world, random, held_out) for _ in range(max(count, 8))]
    batch = lay_out_batch(plans, *size, random)
    errors = []
    for i in range(0, len(batch), _CHUNK):
        pictures = render(stage, batch[i : i + _CHUNK])
        with autocast(painter.device):
            z = painter.vae.encode(pictures * 2 - 1).latent_dist.mean
            drawn = painter.vae.decode(z).sample.float() / 2 + 0.5
        errors += (drawn.clamp(0, 1) - pictures).square().mean((1, 2, 3)).tolist()
    each = float(np.mean([-10 * math.log10(e + 1e-12) for e in errors]))
    return {"psnr_db": -10 * math.log10(float(np.mean(errors))), "mean_psnr_db": each}


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--tokenizer", type=Path, default=Path("training/work/tokenizer"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"))
    parser.add_argument("--prompts", type=int, default=1536, help="in each row")
    parser.add_argument("--variants", type=int, default=24)
    parser.add_argument("--smoke", action="store_true", help="the tiny model, a fifth of the rows")
    evaluate(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
