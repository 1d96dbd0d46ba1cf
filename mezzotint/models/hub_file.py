"""One file of a model repository: fetched, resumed where it was cut, and verified."""

from __future__ import annotations

import errno
import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mezzotint.types import Cancelled, ModelError, ResourceError

if TYPE_CHECKING:
    import httpx2

RETRIES = 5  # in a row without a new byte
RETRY_WAIT_S = 1.0  # doubles with each retry in a row

_CHUNK_BYTES = 2**20
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its hub lists it; `digest` is a SHA-256, a git blob's SHA-1, or empty."""

    path: str  # below the model's folder, with slashes
    size: int  # bytes
    digest: str
    url: str


def fetch(
    client: httpx2.Client,
    file: RemoteFile,
    folder: Path,
    report: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Fetch `file` into `folder`, going on from the bytes an earlier call left there.

    `report` is told each gain in bytes, and a loss where bytes must come again. Raises ModelError
    when the hub refuses, stays away or sends other bytes, ResourceError on a full disk, Cancelled
    once `stop` is set. What was received stays for the next call, unless it proved wrong.
    """
    target, part = folder / file.path, part_path(folder, file)
    try:
        if is_present(folder, file):
            if _is_sound(file, target):  # it may be of an older revision
                return
            target.unlink()
            report(-file.size)
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive(client, file, part, report, stop)
        _verify(file, part)
        part.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(f"{target} cannot be written: {error.strerror or error}") from error
        raise ResourceError(
            f"the disk of {folder} became full while fetching {file.path}; free some space and "
            "pull again: it goes on where it stopped"
        ) from error


def is_present(folder: Path, file: RemoteFile) -> bool:
    """Whether a file of that name and size is there."""
    target = folder / file.path
    return target.is_file() and target.stat().st_size == file.size


def part_path(folder: Path, file: RemoteFile) -> Path:
    """Where a file is until it is whole; named by content, so that no two versions ever mix."""
    target = folder / file.path
    return target.with_name(f"{target.name}.{(file.digest or str(file.size))[:16]}.part")


def size_of(path: Path) -> int:
    """The file's size in bytes, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def _receive(
    client: httpx2.Client,
    file: RemoteFile,
    part: Path,
    report: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Ask for the missing bytes until there are none, or RETRIES in a row bring nothing."""
    import httpx2

    part.touch()
    failures = 0
    while (before := size_of(part)) != file.size:
        try:
            _append(client, file, part, report, stop)
            problem: Exception | None = None
        except (httpx2.TransportError, httpx2.TooManyRedirects, _Transient) as error:
            problem = error
        failures = 0 if size_of(part) > before else failures + 1
        if failures > RETRIES:
            raise ModelError(
                f"fetching {file.path} stopped at {size_of(part)} of {file.size} bytes "
                f"({problem or 'the hub sent nothing'}); check the network and pull again: it goes "
                "on where it stopped"
            ) from problem
        if failures and stop.wait(RETRY_WAIT_S * 2 ** (failures - 1)):
            raise Cancelled(f"fetching {file.path} was stopped")


def _append(
    client: httpx2.Client,
    file: RemoteFile,
    part: Path,
    report: Callable[[int], None],
    stop: threading.Event,
) -> None:
    have = size_of(part)
    # Compressed transfers would break both the byte ranges and the size.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", file.url, headers=headers) as response:
        _check_status(response, file)
        start = _start(response)
        if start != have:  # the hub ignored the range, or had another idea of it
            report(-have)
            part.write_bytes(b"")
            if start != 0:
                raise _Transient(f"bytes from {start} came instead of those from {have}")
        with part.open("ab") as out:
            for chunk in response.iter_bytes():  # as they come: a cut loses none of them
                if stop.is_set():
                    raise Cancelled(f"fetching {file.path} was stopped")
                if out.tell() + len(chunk) > file.size:
                    raise ModelError(
                        f"{file.url} sends more than the {file.size} bytes the hub lists for "
                        f"{file.path}; pull again later or from another source"
                    )
                out.write(chunk)
                report(len(chunk))


def _start(response: httpx2.Response) -> int:
    """The position in the file of the response's first byte, -1 where it does not say."""
    if response.status_code != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def _check_status(response: httpx2.Response, file: RemoteFile) -> None:
    code = response.status_code
    if code in (200, 206):
        return
    if code in _TRANSIENT:
        raise _Transient(f"HTTP {code}")
    if code in (401, 403):
        raise ModelError(
            f"the hub refuses {file.path} (HTTP {code}); accept the model's terms on its page and "
            "set HF_TOKEN (or MODELSCOPE_API_TOKEN) to a token that may read it"
        )
    raise ModelError(
        f"the hub has no {file.path} to give (HTTP {code}); pull again later or from another source"
    )


def _verify(file: RemoteFile, part: Path) -> None:
    if _is_sound(file, part):
        return
    part.unlink()
    raise ModelError(
        f"{file.path} arrived with other bytes than the hub lists; pull again, and from another "
        "source if it happens twice"
    )


def _is_sound(file: RemoteFile, path: Path) -> bool:
    return not file.digest or _digest(path, file) == file.digest.lower()


def _digest(part: Path, file: RemoteFile) -> str:
    with part.open("rb") as data:
        if len(file.digest) == 64:
            return hashlib.file_digest(data, "sha256").hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        while chunk := data.read(_CHUNK_BYTES):
            blob.update(chunk)
    return blob.hexdigest()


class _Transient(Exception):
    """The hub asks to come back later."""
