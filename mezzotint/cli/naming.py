"""Where pictures go and what they are called: readable, and safe on every file system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mezzotint.images.naming import SUFFIXES, slug
from mezzotint.types import Format, Recipe, RequestError

_FORMATS: dict[str, Format] = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}
# Someone who writes one of these wants a file, not a folder of that name.
_FOREIGN = frozenset({".avif", ".bmp", ".gif", ".heic", ".jxl", ".svg", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Target:
    """Where pictures go; `path` means nothing for stdout."""

    kind: Literal["folder", "file", "stdout"]
    path: Path


def target_of(out: str) -> Target:
    """Read what --out names: - is stdout, a known image suffix a file, all else a folder."""
    if out == "-":
        return Target("stdout", Path())
    path = Path(out).expanduser()
    if path.is_dir() or out.endswith("/"):
        return Target("folder", path)
    suffix = path.suffix.lower()
    if suffix in _FOREIGN:
        raise RequestError(f"{out} would be a {suffix} file; choose .png, .webp or .jpg")
    return Target("file" if names_picture(path) else "folder", path)


def names_picture(path: Path) -> bool:
    """Whether pictures are written to files of such a name."""
    return path.suffix.lower() in _FORMATS


def format_of(target: Target, asked: Format | None) -> Format | None:
    """The format a file's suffix asks for; None for a folder or stdout.

    RequestError when it is not the one that was asked for.
    """
    if target.kind != "file":
        return None
    by_suffix = _FORMATS[target.path.suffix.lower()]
    if asked is not None and asked != by_suffix:
        raise RequestError(
            f"{target.path} is named as {by_suffix} but --format says {asked}; change one of them"
        )
    return by_suffix


def file_name(recipe: Recipe, index: int, format: Format) -> str:
    """A name made of the prompt, the seed and an index."""
    return f"{slug(recipe.prompt)}-s{recipe.seed}-{index}{SUFFIXES[format]}"
