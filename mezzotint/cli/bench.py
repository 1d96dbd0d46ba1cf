"""`mezzotint bench`: speed, memory, fidelity and share of the limit for one workload."""

from __future__ import annotations

import json as jsonlib
import resource
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mezzotint.cli import options as opt
from mezzotint.cli.bundled import note_bundled
from mezzotint.size import parse_size

if TYPE_CHECKING:
    from mezzotint.config import Config
    from mezzotint.engine.device import Device
    from mezzotint.engine.engine import Engine
    from mezzotint.measure.workload import Workload

_REFERENCE = "fp32"

RandomWeights = Annotated[
    str | None,
    typer.Option(
        "--random-weights",
        metavar="NAME",
        show_default=False,
        help="z-image-turbo or z-image: their size, random values; no file is needed.",
    ),
]
Repeats = Annotated[
    int, typer.Option("--repeats", metavar="N", min=1, max=1000, help="Timed times; the median.")
]
AtOnce = Annotated[
    int, typer.Option("--at-once", metavar="N", min=1, max=64, help="Pictures asked for together.")
]
NumPrompts = Annotated[
    int,
    typer.Option("--prompts", metavar="N", min=0, max=512, help="To judge fidelity by; 0: none."),
]


def bench(
    random_weights: RandomWeights = None,
    model: opt.Model = None,
    variant: opt.Variant = None,
    size: opt.Size = None,
    steps: opt.Steps = None,
    guidance: opt.Guidance = None,
    repeats: Repeats = 5,
    at_once: AtOnce = 1,
    prompts: NumPrompts = 8,
    device: opt.Device = None,
    precision: opt.Precision = None,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Measure one workload, prompt in to PNG bytes out.

    Warmed up, half a second of rest before each time, new prompts every time. The limit is what
    this device reaches in one large product. Fidelity is the bundled model's, in this precision,
    against fp32: random weights draw nothing to judge.

    \b
    mezzotint bench
    mezzotint bench --random-weights z-image-turbo --size 1024x1024
    """
    flags = {
        "model": model,
        "variant": variant,
        "random_weights": random_weights,
        "device": device,
        "precision": precision,
        "threads": threads,
    }
    dimensions = parse_size(size) if size is not None else None
    from mezzotint.config import load
    from mezzotint.engine.device import choose_device
    from mezzotint.engine.engine import Engine

    config = load(flags).config
    if not (json or config.random_weights):
        note_bundled(config.model)
    with Engine(**config.model_dump()) as engine:
        workload = _workload(engine, dimensions, steps, guidance, repeats, at_once)
        row = _measure(engine, workload, choose_device(config))
    row["fidelity"] = _fidelity(config, row["precision"], prompts)
    typer.echo(jsonlib.dumps(row, indent=2) if json else "\n".join(_lines(row)))


def _workload(
    engine: Engine,
    size: tuple[int, int] | None,
    steps: int | None,
    guidance: float | None,
    repeats: int,
    at_once: int,
) -> Workload:
    from mezzotint.measure.workload import Workload

    spec = engine.spec
    width, height = size or spec.sizes[0]
    return Workload(
        f"{width}x{height}",
        width,
        height,
        spec.steps if steps is None else steps,
        spec.guidance if guidance is None else guidance,
        repeats,
        at_once,
    )


def _measure(engine: Engine, workload: Workload, place: Device) -> dict[str, Any]:
    from mezzotint.engine.stats import stage_totals
    from mezzotint.measure.limit import product_flops_per_s
    from mezzotint.measure.timing import by_engine, measure
    from mezzotint.measure.workload import new_prompts, request_of

    new = new_prompts()
    about = engine.provenance
    ticket = engine.submit(request_of(next(new), workload))  # refuses a wrong size before warm-up
    ticket.result()
    timing = measure(by_engine(engine), workload, new)
    image = engine.submit(request_of(next(new), workload)).result()
    tflop = engine.spec.cost(ticket.recipe) * workload.steps * workload.at_once
    limit = product_flops_per_s(place.device, place.precision)
    return {
        "model": about.model,
        "device": about.device,
        "precision": about.precision,
        "width": workload.width,
        "height": workload.height,
        "steps": workload.steps,
        "guidance": workload.guidance,
        "at_once": workload.at_once,
        **timing.row(),
        "stage_ms": stage_totals(image.spans),
        "process_peak_bytes": _process_peak_bytes(),
        "tflop": tflop,
        "limit_flops_per_s": limit,
        "fraction_of_limit": None if limit is None else tflop * 1e15 / limit / timing.ms,
    }


def _process_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB on Linux


def _fidelity(config: Config, precision: str, count: int) -> dict[str, Any] | None:
    if precision == _REFERENCE or count == 0:
        return None
    from mezzotint.config import read_precision
    from mezzotint.measure.fidelity import compare
    from mezzotint.measure.prompts import fidelity_prompts

    options = config.model_dump() | {"model": None, "variant": None, "random_weights": None}
    right, other = (options | read_precision(one) for one in (_REFERENCE, precision))
    return compare(right, other, fidelity_prompts(count), {}).row()


def _lines(row: dict[str, Any]) -> list[str]:
    together = "one at a time" if row["at_once"] == 1 else f"{row['at_once']} at once"
    guided = f", guidance {row['guidance']:g}" if row["guidance"] else ""
    stages = "  ".join(f"{name} {ms:.1f}" for name, ms in row["stage_ms"].items())
    lines = [
        f"{row['model']} {row['width']}x{row['height']}, {row['steps']} steps{guided}, "
        f"{together}, {row['precision']} on {row['device']}",
        f"time        {row['ms']:.1f} ms to PNG bytes, {row['to_picture_ms']:.1f} to pixels; "
        f"median of {row['repeats']}",
        f"throughput  {row['images_per_s']:.2f} images/s",
        f"stages      {stages} (ms, one picture)",
        f"memory      {_memory(row)}",
        f"limit       {_limit(row)}",
        f"fidelity    {_faithful(row)}",
    ]
    if row["utilisation"] is not None:
        lines.insert(4, f"GPU         busy {row['utilisation']:.0%} of the time")
    return lines


def _memory(row: dict[str, Any]) -> str:
    process = f"{row['process_peak_bytes'] / 2**30:.2f} GiB of the host's at most"
    if row["peak_bytes"] is None:
        return process
    return f"{row['peak_bytes'] / 2**30:.2f} GiB of the GPU's at most, {process}"


def _limit(row: dict[str, Any]) -> str:
    if row["fraction_of_limit"] is None:
        return f"unknown: this device has no product in {row['precision']}"
    reaches = row["limit_flops_per_s"] / 1e12
    return f"{row['fraction_of_limit']:.0%} of this device's own product ({reaches:.3g} TFLOP/s)"


def _faithful(row: dict[str, Any]) -> str:
    found = row["fidelity"]
    if row["precision"] == _REFERENCE:
        return "fp32 is what the others are held against"
    if found is None:
        return "not judged"
    median, worst = (
        "equal" if found[f"{which}_psnr_db"] is None else f"{found[f'{which}_psnr_db']:.1f} dB"
        for which in ("median", "worst")
    )
    return (
        f"PSNR {median}, worst {worst}; SSIM {found['median_ssim']:.4f}, worst "
        f"{found['worst_ssim']:.4f}; {found['prompts']} prompts of the bundled model against fp32"
    )
