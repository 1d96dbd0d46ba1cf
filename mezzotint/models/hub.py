"""Pulled models: fetched once from Hugging Face or ModelScope, found later by id.

The transfer is our own: as of 2.4, huggingface_hub deletes a file's received part when it is
interrupted, and modelscope unpickles its credentials and probes the network it runs in.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mezzotint.models.hub_file import RemoteFile, fetch, is_present, part_path, size_of
from mezzotint.models.hub_listing import Listing, Source, headers, list_files
from mezzotint.types import ModelError, ResourceError

if TYPE_CHECKING:
    import httpx2

# Told the bytes that are there and the bytes in all, from several threads but one at a time.
PullProgress = Callable[[int, int], None]

MANIFEST = "mezzotint-pull.json"
PARALLEL_FILES = 4

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}", re.ASCII)
# Neither '.' nor '..' as a part, no root, no drive, no backslash: safe on every system.
_SAFE_PATH = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[\w.+\- ]+(/[\w.+\- ]+)*")
_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".jinja"})
_NAMES = frozenset({"tokenizer.model"})
_LOCK = ".mezzotint-pull.lock"


def pull(
    model_id: str,
    source: Source = "hf",
    destination: Path | None = None,
    progress: PullProgress | None = None,
) -> Path:
    """Fetch a model's weights, configuration and tokenizer, and return its folder.

    Goes on where an earlier pull stopped, and does nothing for a model that is complete. Only
    files that cannot run code are fetched. Without a destination, `local_path` finds the model.
    Raises ModelError (id, hub, network, damage) and ResourceError (disk), each with the remedy.
    """
    _check_id(model_id)
    folder = destination if destination is not None else default_folder(model_id)
    if _is_complete(folder, model_id):
        return folder
    with _client(source) as client:
        # Before the folder is made: one of a model that there is not would look like a part of it.
        listing = _wanted(list_files(client, model_id, source), model_id)
        with _writable(folder):
            _check_disk(listing.files, folder, model_id)
            _fetch_all(client, listing.files, folder, progress or _silent)
            _write_manifest(folder, model_id, source, listing)
    return folder


def local_path(model_id: str) -> Path | None:
    """The folder of a completely pulled model, or None, also for what is no model id."""
    if not is_model_id(model_id):
        return None
    folder = default_folder(model_id)
    return folder if _is_complete(folder, model_id) else None


def default_folder(model_id: str) -> Path:
    """Where a model goes when nobody says where."""
    organisation, name = model_id.split("/")
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ModelError("this user has no home to keep models in; set HOME") from error
    return home / ".cache" / "mezzotint" / "models" / f"{organisation}--{name}"


def is_model_id(model_id: str) -> bool:
    """Whether a text can be a model's id: organisation/name."""
    # Neither hub allows '--' or '..' in names; with them two ids could share a folder.
    return bool(_MODEL_ID.fullmatch(model_id)) and not re.search(r"--|\.\.", model_id)


def _check_id(model_id: str) -> None:
    if not is_model_id(model_id):
        raise ModelError(
            f"{model_id!r:.200} is no model id; give it as organisation/name, for example "
            "Tongyi-MAI/Z-Image-Turbo"
        )


def _is_allowed(path: str) -> bool:
    name = PurePosixPath(path)
    return not name.name.startswith(".") and (name.suffix in _SUFFIXES or name.name in _NAMES)


def _wanted(listing: Listing, model_id: str) -> Listing:
    files = tuple(file for file in listing.files if _is_allowed(file.path))
    if not any(file.path.endswith(".safetensors") for file in files):
        raise ModelError(
            f"{model_id} has no safetensors weights, the only kind that is loaded; choose a "
            "repository that has them"
        )
    for file in files:
        if not _SAFE_PATH.fullmatch(file.path):
            raise ModelError(
                f"{model_id} lists a file {file.path!r:.100} outside its folder; do not use it"
            )
    return Listing(listing.revision, files)


@contextmanager
def _client(source: Source) -> Iterator[httpx2.Client]:
    import httpx2

    with httpx2.Client(
        headers=headers(source),
        follow_redirects=True,  # to the hub's file servers; other hosts never see the token
        timeout=httpx2.Timeout(30.0, connect=10.0),
    ) as client:
        yield client


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock: two pulls would append to the same file."""
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise ModelError(f"another pull is writing to {folder}; wait until it is done") from error
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written ({error.strerror}); choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _check_disk(files: Sequence[RemoteFile], folder: Path, model_id: str) -> None:
    missing = sum(file.size - _there(folder, file) for file in files)
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise ResourceError(
            f"{model_id} needs {missing / 1e9:.2f} GB more but {folder} has {free / 1e9:.2f} GB "
            "free; free some space or choose a folder on another disk"
        )


def _there(folder: Path, file: RemoteFile) -> int:
    return file.size if is_present(folder, file) else size_of(part_path(folder, file))


def _fetch_all(
    client: httpx2.Client, files: Sequence[RemoteFile], folder: Path, progress: PullProgress
) -> None:
    """Fetch several files at a time; the first error stops all."""
    stop, lock = threading.Event(), threading.Lock()
    total, done = sum(file.size for file in files), sum(_there(folder, file) for file in files)

    def report(gain: int) -> None:
        nonlocal done
        with lock:
            done += gain
            progress(done, total)

    report(0)
    with ThreadPoolExecutor(PARALLEL_FILES) as threads:
        jobs = [threads.submit(fetch, client, file, folder, report, stop) for file in files]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:  # Ctrl-C too: no thread may go on for gigabytes
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _write_manifest(folder: Path, model_id: str, source: Source, listing: Listing) -> None:
    manifest = {
        "model": model_id,
        "source": source,
        "revision": listing.revision,
        "files": {file.path: {"size": file.size, "digest": file.digest} for file in listing.files},
    }
    draft = folder / f"{MANIFEST}.part"
    draft.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    draft.replace(folder / MANIFEST)


def _is_complete(folder: Path, model_id: str) -> bool:
    """Whether the manifest, which a pull writes last, is there with all its files."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, model = dict(manifest["files"]), manifest["model"]
        whole = all(size_of(folder / path) == entry["size"] for path, entry in files.items())
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise ModelError(f"{folder} is no folder; choose another") from error
    except PermissionError as error:
        raise ModelError(f"{folder} is closed to this user; set HOME to your own") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / MANIFEST} is damaged; delete it and pull again") from error
    if model != model_id:
        raise ModelError(f"{folder} holds {model}; choose another folder for {model_id}")
    return whole


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
