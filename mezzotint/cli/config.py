"""`mezzotint config show`: every setting, its value and where that came from."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING

import typer

from mezzotint.cli import options as opt
from mezzotint.cli.help import SectionedCommand

if TYPE_CHECKING:
    from mezzotint.config import LoadedConfig

config_app = typer.Typer(help="Look at the settings.", no_args_is_help=True, rich_markup_mode=None)


@config_app.callback()
def _root() -> None:
    """Look at the settings."""


@config_app.command(cls=SectionedCommand)
def show(
    model: opt.Model = None,
    variant: opt.Variant = None,
    file_format: opt.FileFormat = None,
    metadata: opt.Metadata = None,
    device: opt.Device = None,
    precision: opt.Precision = None,
    memory: opt.Memory = None,
    deterministic: opt.Deterministic = None,
    threads: opt.Threads = None,
    json: opt.Json = False,
) -> None:
    """Show each setting, its value and where it came from.

    A flag wins over the environment (MEZZOTINT_NAME), that over the TOML file, that over the
    default. The file is $MEZZOTINT_CONFIG, ./mezzotint.toml or ~/.config/mezzotint/config.toml.
    """
    from mezzotint.config import load

    flags = {
        "model": model,
        "variant": variant,
        "format": file_format,
        "metadata": metadata,
        "device": device,
        "precision": precision,
        "memory": memory,
        "deterministic": deterministic,
        "threads": threads,
    }
    loaded = load(flags)
    if json:
        typer.echo(_to_json(loaded))
    else:
        _print(loaded)


def _to_json(loaded: LoadedConfig) -> str:
    settings = {
        name: {"value": value, "source": loaded.sources[name]}
        for name, value in loaded.config.model_dump().items()
    }
    file = str(loaded.file) if loaded.file else None
    return jsonlib.dumps({"file": file, "settings": settings}, indent=2)


def _print(loaded: LoadedConfig) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("setting", "value", "from"):
        table.add_column(name, overflow="fold")
    for name, value in loaded.config.model_dump().items():
        table.add_row(name, _word(value), _origin(name, loaded))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"\nfile: {loaded.file or 'none found'}", soft_wrap=True)


def _word(value: object) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _origin(name: str, loaded: LoadedConfig) -> str:
    from mezzotint.config import ENVIRONMENT_PREFIX

    source = loaded.sources[name]
    if source == "environment":
        return f"environment ({ENVIRONMENT_PREFIX}{name.upper()})"
    return source
