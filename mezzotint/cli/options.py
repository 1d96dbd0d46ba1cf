"""The options of the command: names, units and help, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.models import OptionInfo

MAX_PICTURES = 10_000  # of one prompt


_WHAT, _MODEL, _PICTURE = "What to draw", "Model", "Picture"
_OUTPUT, _MACHINE = "Output", "Machine"


def option(section: str, name: str, metavar: str | None, help_text: str, **more: Any) -> OptionInfo:
    """An option in a section of the help, which says its own default; `more` goes to typer."""
    shown = {"metavar": metavar, "help": help_text, "rich_help_panel": section}
    info: OptionInfo = typer.Option(name, **shown | {"show_default": False} | more)
    return info


Prompts = Annotated[
    list[str] | None,
    typer.Argument(metavar="PROMPT", help="What to draw; quote it. Several make a batch."),
]
PromptsFile = Annotated[
    str | None,
    option(_WHAT, "--prompts", "FILE", "Read prompts from FILE, one a line; - is stdin."),
]
From = Annotated[
    Path | None,
    option(
        _WHAT,
        "--from",
        "FILE",
        "Make the picture in FILE again from its metadata; options given beside it win.",
    ),
]

Model = Annotated[
    str | None,
    option(
        _MODEL, "--model", "PATH|ID", "Model folder, single file or pulled id. [default: bundled]"
    ),
]
Variant = Annotated[
    str | None,
    option(_MODEL, "--variant", "turbo|base", "Which Z-Image a single file holds; folders say it."),
]
Preset = Annotated[
    str | None,
    option(
        _PICTURE,
        "--preset",
        "NAME",
        "A named scene, by key, zh or en name; see `mezzotint presets`.",
    ),
]
Size = Annotated[
    str | None, option(_PICTURE, "--size", "WxH", "Width x height in pixels, multiples of 16.")
]
Steps = Annotated[
    int | None,
    option(_PICTURE, "--steps", "N", "Denoise steps: one forward each, two with guidance."),
]
Guidance = Annotated[
    float | None,
    option(
        _PICTURE, "--guidance", "G", "diffusers' meaning: 0 is off; the usual CFG weight minus 1."
    ),
]
GuidanceRescale = Annotated[
    float | None,
    option(
        _PICTURE, "--guidance-rescale", "R", "Cap the guided norm at R x the unguided; 0: no cap."
    ),
]
GuidanceTruncation = Annotated[
    float | None,
    option(_PICTURE, "--guidance-truncation", "T", "Guide until time T of 0 to 1; 1: to the end."),
]
Negative = Annotated[
    str | None, option(_WHAT, "--negative", "TEXT", "What to keep out; needs guidance above 0.")
]
Seed = Annotated[
    int | None,
    option(_PICTURE, "--seed", "S", "0 to 2^63-1; -1 draws one and records it. [default: -1]"),
]
Count = Annotated[
    int,
    option(
        _PICTURE,
        "--n",
        "N",
        "Pictures of each prompt, with consecutive seeds.",
        min=1,
        max=MAX_PICTURES,
        show_default=True,
    ),
]

Out = Annotated[
    str | None,
    option(_OUTPUT, "--out", "FILE|DIR|-", "File, folder, or - for stdout. [default: outputs/]"),
]
Force = Annotated[bool, option(_OUTPUT, "--force", None, "Overwrite files that exist.")]
FileFormat = Annotated[
    str | None,
    option(_OUTPUT, "--format", "png|webp|jpeg", "File format. [default: --out's, or png]"),
]
Metadata = Annotated[
    str | None,
    option(
        _OUTPUT,
        "--metadata",
        "full|minimal|none",
        "full: how it was made, and AI marks; minimal: marks only; none: nothing. [default: full]",
    ),
]
Json = Annotated[bool, option(_OUTPUT, "--json", None, "Print one JSON document instead of text.")]
Profile = Annotated[bool, option(_OUTPUT, "--profile", None, "Print what each stage took, in ms.")]
Trace = Annotated[
    Path | None,
    option(_OUTPUT, "--trace", "FILE", "Write every span as JSON; ui.perfetto.dev opens it."),
]
Quiet = Annotated[bool, option(_OUTPUT, "--quiet", None, "No notes and no progress on stderr.")]

Device = Annotated[
    str | None,
    option(_MACHINE, "--device", "auto|cpu|cuda", "Where to run. [default: a GPU if any]"),
]
Precision = Annotated[
    str | None,
    option(
        _MACHINE,
        "--precision",
        "auto|fp32|bf16|fp8",
        "fp8 is fast and approximate. [default: bf16 on a GPU]",
    ),
]
Memory = Annotated[
    str | None,
    option(_MACHINE, "--memory", "SIZE", "Memory to use, such as 12GiB. [default: what is free]"),
]
Deterministic = Annotated[
    bool | None,
    option(
        _MACHINE,
        "--deterministic/--no-deterministic",
        None,
        "Same bytes in any company; slower batches on a GPU. [default: no]",
    ),
]
Threads = Annotated[
    int | None, option(_MACHINE, "--threads", "N", "CPU threads. [default: all cores]")
]
