"""`mezzotint compare`: how far two precisions of a model are apart."""

from __future__ import annotations

import json as jsonlib
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mezzotint.cli import options as opt
from mezzotint.cli.bundled import note_bundled
from mezzotint.size import parse_size
from mezzotint.types import Request, RequestError

if TYPE_CHECKING:
    from mezzotint.measure.fidelity import Comparison

_PRECISIONS = ("fp32", "bf16", "fp8")
_SHOWN = 5
_MOST = 512  # prompts that the list has

A = Annotated[str, typer.Option("--a", metavar="PRECISION", help="What is held as right.")]
B = Annotated[str, typer.Option("--b", metavar="PRECISION", help="What is held against it.")]
NumPrompts = Annotated[
    int,
    typer.Option("--prompts", metavar="N", min=1, max=_MOST, help="Of a fixed list of 512."),
]


def compare(
    a: A = "fp32",
    b: B = "bf16",
    model: opt.Model = None,
    variant: opt.Variant = None,
    prompts: NumPrompts = 64,
    size: opt.Size = None,
    steps: opt.Steps = None,
    guidance: opt.Guidance = None,
    device: opt.Device = None,
    threads: opt.Threads = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Say how far apart the same pictures are in two precisions.

    PSNR and SSIM, median and worst. Prompts name what the bundled model knows, with seeds 0 and
    up; nothing is written. fp8+attention is fp8 that attends in FP8 too. Exits with 2 where a
    precision cannot run on this machine.

    \b
    mezzotint compare --a fp32 --b bf16 --prompts 16
    mezzotint compare --a bf16 --b fp8 --model Tongyi-MAI/Z-Image-Turbo
    """
    flags = {"model": model, "variant": variant, "device": device, "threads": threads}
    # Both, before any work.
    right, other = _options(flags, "--a", a), _options(flags, "--b", b)
    choices = _choices(size, steps, guidance)
    _check(right, choices)
    from mezzotint.measure.fidelity import compare as measure
    from mezzotint.measure.prompts import fidelity_prompts

    if not (quiet or json):
        note_bundled(right["model"])
    made = 0

    def on_picture() -> None:
        nonlocal made
        made += 1
        if not (quiet or json) and made % 16 == 0:
            typer.echo(f"{made} of {2 * prompts} pictures", err=True)

    comparison = measure(right, other, fidelity_prompts(prompts), choices, on_picture)
    if json:
        pairs = [
            asdict(pair) | {"psnr_db": pair.psnr_db if math.isfinite(pair.psnr_db) else None}
            for pair in comparison.pairs
        ]
        typer.echo(jsonlib.dumps({"a": a, "b": b, **comparison.row(), "pairs": pairs}, indent=2))
    else:
        _print(comparison, a, b)


def _options(flags: dict[str, Any], option: str, precision: str) -> dict[str, Any]:
    """Settle one side. ConfigError or ResourceError where it cannot run, in one sentence."""
    from mezzotint.config import load, read_precision
    from mezzotint.engine.device import choose_device

    settings = read_precision(precision)
    if settings["precision"] not in _PRECISIONS:
        raise RequestError(
            f"{option} {precision} is no precision to compare; give {', '.join(_PRECISIONS)} or "
            "fp8+attention"
        )
    config = load(flags | settings).config
    choose_device(config)
    return config.model_dump()


def _check(options: dict[str, Any], choices: dict[str, Any]) -> None:
    """RequestError for a size or steps that the model does not take, before it is loaded."""
    from mezzotint.models.find import describe
    from mezzotint.models.locate import locate
    from mezzotint.models.recipe import resolve

    spec = describe(locate(options["model"]), options["variant"])
    resolve(Request(prompt="a", **choices), spec)


def _choices(size: str | None, steps: int | None, guidance: float | None) -> dict[str, Any]:
    width, height = parse_size(size) if size is not None else (None, None)
    given = {"width": width, "height": height, "steps": steps, "guidance": guidance}
    return {name: value for name, value in given.items() if value is not None}


def _print(comparison: Comparison, a: str, b: str) -> None:
    row = comparison.row()
    ordered = sorted(comparison.pairs, key=lambda pair: pair.psnr_db)
    typer.echo(f"{'the farthest apart':52}{'PSNR, dB':>10}{'SSIM':>9}")
    for pair in ordered[:_SHOWN]:
        typer.echo(f"{pair.prompt[:51]:52}{_decibel(pair.psnr_db):>10}{pair.ssim:9.4f}")
    count = len(comparison.pairs)
    typer.echo(f"\n{b} against {a}, {count} prompt{'s' if count > 1 else ''}")
    typer.echo(f"{'':12}{'median':>10}{'worst':>10}")
    median, worst = (_decibel(row[f"{which}_psnr_db"]) for which in ("median", "worst"))
    typer.echo(f"{'PSNR, dB':12}{median:>10}{worst:>10}")
    typer.echo(f"{'SSIM':12}{row['median_ssim']:10.4f}{row['worst_ssim']:10.4f}")


def _decibel(value: float | None) -> str:
    return "equal" if value is None or math.isinf(value) else f"{value:.1f}"
