"""Picture files on disk: whole or not at all, and never over another without being told to."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from mezzotint.cli.naming import Target, file_name
from mezzotint.cli.streams import stdout_is_closed, told
from mezzotint.types import Image, RequestError, ResourceError

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Writer:
    """Puts finished pictures where they were asked for."""

    def __init__(self, target: Target, *, force: bool) -> None:
        self._target = target
        self._force = force
        self._names: set[str] = set()  # given in this run; --force must not overwrite these

    def check(self, num_pictures: int) -> None:
        """Refuse what cannot work before any picture is made; writes nothing."""
        path = self._target.path
        if self._target.kind != "folder" and num_pictures > 1:
            where = "stdout" if self._target.kind == "stdout" else str(path)
            raise RequestError(f"{num_pictures} pictures do not fit in {where}; give a folder")
        if self._target.kind == "stdout":
            _check_stdout()
        elif self._target.kind == "file":
            if os.path.lexists(path) and not self._force:
                raise _exists(path)
            _check_folder(path.parent)
        else:
            _check_folder(path)

    def save(self, image: Image) -> str:
        """Write one picture. -> its path. ResourceError leaves nothing behind."""
        if self._target.kind == "stdout":
            _write_stdout(image.data)
            return "-"
        if self._target.kind == "file":
            return str(self._save_file(image))
        return str(self._save_in_folder(image))

    def _save_file(self, image: Image) -> Path:
        path = self._target.path
        if not write_file(path, image.data, overwrite=self._force):
            raise _exists(path)  # it came while the picture was being made
        return path

    def _save_in_folder(self, image: Image) -> Path:
        index = 0
        while True:
            name = file_name(image.recipe, index, image.format)
            path = self._target.path / name
            index += 1
            if name in self._names or (not self._force and os.path.lexists(path)):
                continue
            if write_file(path, image.data, overwrite=self._force):
                self._names.add(name)
                return path


def write_file(path: Path, data: bytes, *, overwrite: bool, option: str = "--out") -> bool:
    """Write `data` to `path` through a file beside it, so that nobody sees half a picture.

    False, without `overwrite`, where the name is taken. ResourceError for a full disk and the
    like, which names the `option` to change; nothing is left behind.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            file.write(data)
        return _publish(draft, path, overwrite)
    except OSError as error:
        raise _failed(path, len(data), error, option) from error
    finally:
        with suppress(OSError):  # it was moved, or its folder never came to be
            draft.unlink()


def _publish(draft: Path, path: Path, overwrite: bool) -> bool:
    if overwrite:
        draft.replace(path)
        return True
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError:
        return _publish_without_links(draft, path)
    return True


def _publish_without_links(draft: Path, path: Path) -> bool:
    """For exFAT and some shares: take the name first, then fill it."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    draft.replace(path)
    return True


def _write_stdout(data: bytes) -> None:
    with told():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _check_stdout() -> None:
    if stdout_is_closed():
        raise RequestError("--out - needs stdout, which is closed; name a file, or open it")
    if sys.stdout.isatty():
        raise RequestError(
            "--out - would print a picture's bytes to a terminal; redirect stdout to a file or pipe"
        )


def _check_folder(folder: Path) -> None:
    existing = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
    if not existing.is_dir():
        raise RequestError(f"{existing} is not a folder; choose another place with --out")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ResourceError(f"{existing} may not be written to; choose another place with --out")


def _exists(path: Path) -> RequestError:
    return RequestError(f"{path} exists; choose another name, or overwrite it with --force")


def _failed(path: Path, num_bytes: int, error: OSError, option: str) -> ResourceError:
    if error.errno in _DISK_FULL:
        return ResourceError(
            f"no room for {path} ({num_bytes} bytes: {error.strerror}); free some space or choose "
            f"another place with {option}"
        )
    return ResourceError(
        f"{path} could not be written ({error.strerror}); choose another place with {option}"
    )
