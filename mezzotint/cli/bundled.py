"""The one line that says when a command works with the model that ships."""

from __future__ import annotations

import typer

_NOTE = "small bundled toy model, 128x128; real: mezzotint pull Tongyi-MAI/Z-Image-Turbo"


def note_bundled(model: str | None, *, err: bool = True) -> None:
    """Say on stderr (or stdout) that the model is the small one, if no other was chosen."""
    if model is None:
        typer.echo(_NOTE, err=err)
