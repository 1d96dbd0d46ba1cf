"""`mezzotint generate`: prompts to picture files."""

from __future__ import annotations

from mezzotint.cli import options as opt
from mezzotint.cli.order import Order, read_prompts
from mezzotint.cli.run import Destination, Report, run_order


def generate(
    prompts: opt.Prompts = None,
    prompts_file: opt.PromptsFile = None,
    from_file: opt.From = None,
    model: opt.Model = None,
    variant: opt.Variant = None,
    preset: opt.Preset = None,
    size: opt.Size = None,
    steps: opt.Steps = None,
    seed: opt.Seed = None,
    n: opt.Count = 1,
    guidance: opt.Guidance = None,
    guidance_rescale: opt.GuidanceRescale = None,
    guidance_truncation: opt.GuidanceTruncation = None,
    negative: opt.Negative = None,
    out: opt.Out = None,
    force: opt.Force = False,
    file_format: opt.FileFormat = None,
    metadata: opt.Metadata = None,
    json: opt.Json = False,
    profile: opt.Profile = False,
    trace: opt.Trace = None,
    quiet: opt.Quiet = False,
    device: opt.Device = None,
    precision: opt.Precision = None,
    memory: opt.Memory = None,
    deterministic: opt.Deterministic = None,
    threads: opt.Threads = None,
) -> None:
    """Make pictures of prompts.

    Prints the files' paths; several prompts run as one batch. Names are made of the prompt, the
    seed and a free index; nothing is overwritten without --force.

    \b
    mezzotint generate "a red apple on green grass" --seed 42
    mezzotint generate "一只戴草帽的猫" --n 4 --out cats/
    mezzotint generate --from cats/一只戴草帽的猫-s7-0.png --steps 30
    """
    source = {"model": model, "variant": variant, "deterministic": deterministic}
    machine = {"device": device, "precision": precision, "memory": memory, "threads": threads}
    file = {"format": file_format, "metadata": metadata}
    order = Order(
        prompts=read_prompts(prompts or (), prompts_file),
        preset=preset,
        size=size,
        steps=steps,
        seed=seed,
        n=n,
        guidance=guidance,
        guidance_rescale=guidance_rescale,
        guidance_truncation=guidance_truncation,
        negative=negative,
    )
    report = Report(json=json, profile=profile, trace=trace, quiet=quiet)
    run_order({**source, **machine, **file}, order, from_file, Destination(out, force), report)
