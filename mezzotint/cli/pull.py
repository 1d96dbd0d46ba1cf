"""`mezzotint pull`: fetch a real model, with a bar over its bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

ModelId = Annotated[
    str, typer.Argument(metavar="ID", help="organisation/name, as in Tongyi-MAI/Z-Image-Turbo.")
]
Hub = Annotated[
    Literal["hf", "modelscope"],
    typer.Option(
        "--from",
        metavar="hf|modelscope",
        help="Hugging Face or ModelScope; both honour their mirror variables.",
    ),
]
Destination = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="DIR",
        show_default=False,
        help="Folder for the files; use it as --model DIR. [default: a cache found by ID]",
    ),
]


def pull(model_id: ModelId, source: Hub = "hf", to: Destination = None) -> None:
    """Fetch a model, or the rest of one whose fetch was cut.

    Z-Image-Turbo takes 33 GB of disk. HF_ENDPOINT names a mirror of Hugging Face. Only weights in
    safetensors, configuration and tokenizer files are fetched: nothing that could run.
    """
    from mezzotint.models import hub

    with _progress() as tell:
        folder = hub.pull(model_id, source, to.expanduser() if to else None, tell)
    typer.echo(str(folder))
    name = model_id if to is None else str(to)
    typer.echo(f'now: mezzotint generate --model {name} "a red apple"', err=True)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, else a line every tenth."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn(), Remaining())
    # The bar is on stderr; stdout may be a pipe that waits for the folder's name.
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Lines:
    """Tells every tenth of the bytes once."""

    def __init__(self) -> None:
        self._told = -1

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > self._told:
            self._told = tenth
            typer.echo(f"{done / 1e9:.2f} of {total / 1e9:.2f} GB", err=True)
