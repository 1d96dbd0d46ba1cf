"""The file after --trace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mezzotint.cli.naming import names_picture
from mezzotint.cli.writing import write_file
from mezzotint.types import RequestError

if TYPE_CHECKING:
    from mezzotint.cli.batch import Record


def check_new(path: Path, *, force: bool) -> None:
    """Refuse, before any picture is made, a trace that could not be written. RequestError."""
    if str(path) == "-":
        raise RequestError("--trace - would mix with the paths on stdout; name a file")
    if names_picture(path):  # it could be one that is made in this run
        raise RequestError(f"--trace {path} is a picture's name; give another, such as trace.json")
    if not path.parent.is_dir() or (path.exists() and not path.is_file()):
        raise RequestError(f"--trace {path} is no place for a file; name one in a folder there is")
    if os.path.lexists(path) and not force:
        raise _exists(path)


def write_trace(
    path: Path, records: Sequence[Record], clock: Literal["host", "device"], *, force: bool
) -> None:
    """Write the spans of all pictures that were written. ResourceError when the disk refuses."""
    from mezzotint.engine.trace import Traced, to_trace

    pictures = [
        Traced(record.recipe.prompt, record.submitted_s, record.spans) for record in records
    ]
    if not write_file(path, to_trace(pictures, clock), overwrite=force, option="--trace"):
        raise _exists(path)  # it came while the pictures were being made


def _exists(path: Path) -> RequestError:
    return RequestError(f"{path} exists; give another --trace, or --force to overwrite it")
