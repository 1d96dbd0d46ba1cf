"""Files of pictures: `outputs/DATE/` with readable names, and their thumbnails; whole or absent."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from mezzotint.images.naming import SUFFIXES, slug
from mezzotint.types import Format, Recipe, ResourceError

THUMBNAIL_SIDE = 256  # px, the longer one

_THUMBNAIL_QUALITY = 80
_ATTEMPTS = 5
_UNFINISHED = ".mezzotint-unfinished-"


@dataclass(frozen=True, slots=True)
class Files:
    """Two folders: pictures for people to browse, thumbnails for the page alone."""

    outputs: Path
    thumbnails: Path

    def write(self, name: str, data: bytes) -> None:
        """Write a picture's file, over an equal one of an earlier attempt. ResourceError."""
        _write(self.path(name), data)

    def write_thumbnail(self, id: str, pixels: np.ndarray) -> None:
        """Write the thumbnail of pixels [H, W, 3] uint8, as WebP. ResourceError."""
        picture = Pillow.fromarray(pixels)
        picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Pillow.Resampling.BOX)
        file = BytesIO()
        picture.save(file, "WEBP", quality=_THUMBNAIL_QUALITY, method=0)
        _write(self.thumbnail(id), file.getvalue())

    def delete(self, name: str, id: str) -> None:
        """Delete a picture's file and thumbnail, where they still are. ResourceError."""
        path = self.path(name)
        with _disk(path):
            path.unlink(missing_ok=True)
            self.thumbnail(id).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: other pictures of that day
            path.parent.rmdir()

    def discard_unfinished(self) -> None:
        """Delete what a killed process had not written to its end."""
        for folder in (self.outputs, self.thumbnails):
            for path in folder.glob(f"*/{_UNFINISHED}*"):
                with suppress(OSError):  # it takes space and does no harm
                    path.unlink()

    def path(self, name: str) -> Path:
        """Where a picture's file is. ResourceError for a name that leads out of the folder."""
        path = self.outputs / name
        if not path.resolve().is_relative_to(self.outputs.resolve()):
            raise ResourceError("a file's name in the history leads out of its folder; restore it")
        return path

    def thumbnail(self, id: str) -> Path:
        """Where a picture's thumbnail is; folders hold a 256th each."""
        return self.thumbnails / id[:2] / f"{id}.webp"


def image_id(job_id: str, index: int) -> str:
    """The id of a job's picture: as unguessable as the job's, and the same when it is re-run."""
    return hashlib.sha256(f"{job_id}/{index}".encode()).hexdigest()[:32]


def file_name(recipe: Recipe, id: str, format: Format, created_us: int) -> str:
    """DATE/words-of-the-prompt-sSEED-ID.suffix, the date in UTC."""
    day = datetime.fromtimestamp(created_us / 1e6, UTC).date().isoformat()
    return f"{day}/{slug(recipe.prompt)}-s{recipe.seed}-{id[:12]}{SUFFIXES[format]}"


def _write(path: Path, data: bytes) -> None:
    with _disk(path):
        for _ in range(_ATTEMPTS - 1):
            # Its folder goes with the last picture in it, which may be deleted this moment.
            with suppress(FileNotFoundError):
                _write_whole(path, data)
                return
        _write_whole(path, data)


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(_UNFINISHED + secrets.token_hex(8))
    folder = path.parent
    if not folder.exists():
        # Names hold words of prompts: all is its owner's alone, whatever it lies in.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # its row is on the disk next: it must not be alone there
        temporary.replace(path)
        _sync_folder(path.parent)  # else a power cut may take the name and leave the row
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # It goes into the log: neither it nor its cause may hold the words of a prompt.
        raise ResourceError(
            f"a picture's file, *{path.name.rpartition('-')[2]}, cannot be written or deleted "
            f"({error.strerror}); free disk space or correct the folder's permissions"
        ) from None
