"""The file after --trace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mezzotint.types import RequestError, ResourceError

if TYPE_CHECKING:
    from mezzotint.cli.batch import Record


def check_new(path: Path, *, force: bool) -> None:
    """Refuse, before any picture is made, a trace that could not be written. RequestError."""
    if path.is_dir() or not path.parent.is_dir():
        raise RequestError(f"--trace {path} is no place for a file; name one in a folder there is")
    if os.path.lexists(path) and not force:
        raise RequestError(f"{path} exists; give another --trace, or --force to overwrite it")


def write_trace(path: Path, records: Sequence[Record], clock: Literal["host", "device"]) -> None:
    """Write the spans of all pictures that were written. ResourceError when the disk refuses."""
    from mezzotint.engine.trace import Traced, to_trace

    pictures = [
        Traced(record.recipe.prompt, record.submitted_s, record.spans) for record in records
    ]
    try:
        path.write_bytes(to_trace(pictures, clock))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResourceError(
            f"the trace {path} cannot be written ({reason}); the pictures are"
        ) from error
