"""A picture that is to be made again: what its file says, and what is different here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mezzotint.types import Format, Provenance, Recipe, RequestError

_WEIGHTS_SHOWN = 12  # hexadecimal digits


@dataclass(frozen=True, slots=True)
class Origin:
    """How a picture file was made."""

    recipe: Recipe
    provenance: Provenance
    format: Format


def read_origin(path: Path) -> Origin:
    """Read a picture's recipe. RequestError for an unreadable file or one without a recipe."""
    from mezzotint.images.file import read
    from mezzotint.images.png import MAX_FILE_BYTES

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read ({error.strerror}); correct the path after --from"
        ) from error
    try:
        recipe, provenance = read(data)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error
    return Origin(recipe, provenance, _format_of(data))


def differences(recorded: Provenance, here: Provenance) -> list[str]:
    """Say in a sentence each what makes the bytes uncertain to come out equal."""
    pairs = [
        ("model", recorded.model, here.model),
        ("weights", recorded.weights[:_WEIGHTS_SHOWN], here.weights[:_WEIGHTS_SHOWN]),
        ("precision", recorded.precision, here.precision),
        ("device", recorded.device, here.device),
    ]
    then, now = dict(recorded.versions), dict(here.versions)
    for name in sorted(then | now):
        pairs.append((f"{name} version", then.get(name, "unknown"), now.get(name, "none")))
    return [
        f"{name} was {before} and is {after} here; the bytes may differ"
        for name, before, after in pairs
        if before != after
    ]


def _format_of(data: bytes) -> Format:
    if data.startswith(b"\x89PNG"):
        return "png"
    return "jpeg" if data.startswith(b"\xff\xd8") else "webp"
