"""`mezzotint presets`: what a model takes and its named scenes, read without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mezzotint.cli import options as opt
from mezzotint.cli.bundled import note_bundled

if TYPE_CHECKING:
    from rich.table import Table

    from mezzotint.models.spec import ModelSpec, Preset


def presets(model: opt.Model = None, variant: opt.Variant = None) -> None:
    """List a model's presets, sizes and limits.

    Use one with `mezzotint generate --preset NAME`; its key, zh and en names all work.
    """
    from rich.console import Console

    from mezzotint.config import load
    from mezzotint.models.find import describe
    from mezzotint.models.locate import locate

    config = load({"model": model, "variant": variant}).config
    note_bundled(config.model)
    spec = describe(locate(config.model), config.variant)
    typer.echo(f"{spec.name}: {spec.steps} steps, guidance {spec.guidance:g} unless asked\n")
    # A narrow terminal folds a row; rich would cut its names and sizes.
    Console(highlight=False, markup=False, width=120).print(_table(spec.presets))
    typer.echo("\nguidance has diffusers' meaning: 0 is off, the usual CFG weight minus 1\n")
    for line in _limits(spec):
        typer.echo(line)


def _table(scenes: tuple[Preset, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("preset", "zh", "en"):
        table.add_column(name, no_wrap=True)
    for name in ("size px", "steps", "guidance", "seed"):
        table.add_column(name, justify="right", no_wrap=True)
    for scene in scenes:
        table.add_row(
            scene.key,
            scene.zh,
            scene.en,
            f"{scene.width}x{scene.height}",
            str(scene.steps),
            f"{scene.guidance:g}",
            "random" if scene.seed is None else str(scene.seed),
        )
    return table


def _limits(spec: ModelSpec) -> list[str]:
    limits = spec.limits
    sizes = [f"{width}x{height}" for width, height in spec.sizes]
    rows = [sizes[i : i + 6] for i in range(0, len(sizes), 6)]
    return [
        "sizes      " + "\n           ".join(" ".join(row) for row in rows),
        f"any size   multiples of {limits.side_multiple}, {limits.min_side} to {limits.max_side} "
        f"a side, {limits.max_pixels} pixels in all",
        f"steps      1 to {limits.max_steps}",
        f"guidance   0 to {limits.max_guidance:g}",
        f"prompt     at most {limits.max_prompt_tokens} tokens, template included",
    ]
