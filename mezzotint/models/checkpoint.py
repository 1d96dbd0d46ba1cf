"""A model's folder: weights over one or more files, matched with what a module reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mezzotint.models.config_file import MAX_INDEX_BYTES, read_config, short
from mezzotint.models.safetensors_file import (
    AGAIN,
    QUANTISED,
    READABLE,
    SafetensorsFile,
    StoredTensor,
    open_safetensors,
)
from mezzotint.types import ModelError

INDEX_ENDING: Final = ".safetensors.index.json"
_MAX_SIZE = 2**20  # of one dimension
_PICKLE_ENDINGS = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_FLOAT16 = (
    "float16, whose range Z-Image's activations overflow, so that pictures turn black; take the "
    "bf16 or fp32 file instead"
)


@dataclass(frozen=True, slots=True)
class Part:
    """The stored tensors of one network, by the names that diffusers or transformers give them."""

    title: str  # as errors call it
    path: Path  # the file, or the folder of its shards
    files: tuple[SafetensorsFile, ...]
    tensors: Mapping[str, StoredTensor]

    def stored(self, name: str) -> StoredTensor:
        """A tensor that must be there. ModelError if it is not."""
        if name not in self.tensors:
            raise ModelError(f"{self.path} lacks {name} of {self.title}; {AGAIN}")
        return self.tensors[name]

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """The shape of a tensor that tells sizes. ModelError if it is missing or implausible."""
        shape = self.stored(name).shape
        if len(shape) != rank or not all(0 < size <= _MAX_SIZE for size in shape):
            raise ModelError(
                f"{self.path} has {name} as {list(shape)} where {rank} sizes from 1 to "
                f"{_MAX_SIZE} were expected; {AGAIN}"
            )
        return shape

    def count(self, prefix: str) -> int:
        """How many numbered things follow a prefix: one more than the largest number."""
        pattern = re.compile(re.escape(prefix) + r"([0-9]{1,4})\.")
        found = [int(match[1]) for name in self.tensors if (match := pattern.match(name))]
        return max(found, default=-1) + 1


@dataclass(frozen=True, slots=True)
class KeyMap:
    """What one of our modules reads: each parameter's stored tensors, laid end to end by rows."""

    sources: Mapping[str, tuple[str, ...]]  # our parameter -> stored names
    shapes: Mapping[str, tuple[int, ...]]  # stored name -> shape


@dataclass(frozen=True, slots=True)
class Weights:
    """Checked tensors for one of our modules."""

    sources: Mapping[str, tuple[StoredTensor, ...]]  # our parameter -> rows in order
    on_read: Callable[[int], None] = lambda _: None  # hears of bytes that were read

    @property
    def num_bytes(self) -> int:
        """All of it, as it is stored."""
        return sum(tensor.num_bytes for rows in self.sources.values() for tensor in rows)


def inside(root: Path, path: Path) -> Path:
    """A file of a model folder. ModelError if it is missing, no file, or a link that leaves it.

    A hub's cache links each file of snapshots/REVISION to blobs/ beside it: that may be followed.
    """
    try:
        target, top = path.resolve(), root.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise ModelError(f"{path} cannot be followed ({error}); {AGAIN}") from error
    caches = (up.parent.parent / "blobs" for up in (top, *top.parents) if _is_revision(up))
    if not any(target.is_relative_to(place) for place in (top, *caches)):
        raise ModelError(
            f"{path} is a link that leaves the model's folder, which is not followed; "
            "put the file itself there"
        )
    if not target.is_file():
        raise ModelError(f"{path} is missing; run `mezzotint pull ID` again to fetch it")
    return path


def open_folder(root: Path, folder: Path) -> tuple[SafetensorsFile, ...]:
    """Open the one set of weights in a folder below `root`: one file, or shards by an index.

    ModelError if there is none, only a pickle, or more than one set.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    indexes = [name for name in names if name.endswith(INDEX_ENDING)]
    shards = {index: _read_index(root, folder / index) for index in indexes}
    listed = {file for weight_map in shards.values() for file in weight_map.values()}
    singles = [name for name in names if name.endswith(".safetensors") and name not in listed]
    if len(indexes) + len(singles) > 1:
        raise ModelError(
            f"{folder} holds more than one set of weights ({', '.join(indexes + singles)}); "
            "keep one of them there"
        )
    if singles:
        return (open_safetensors(inside(root, folder / singles[0])),)
    if indexes:
        return _open_shards(root, folder, shards[indexes[0]])
    raise _no_weights(folder, names)


def check(part: Part, key_map: KeyMap, ignored: Iterable[str] = ()) -> Weights:
    """Match a part's tensors with what a module reads.

    ModelError for a tensor that is missing, of another shape, or neither read nor ignored.
    """
    used = {name for names in key_map.sources.values() for name in names}
    for name in sorted(used):
        expected = key_map.shapes[name]
        shape = part.stored(name).shape
        # A 1x1 convolution is a linear layer with two more dimensions of one.
        if shape[: len(expected)] != expected or any(n != 1 for n in shape[len(expected) :]):
            raise ModelError(
                f"{part.path} has {name} as {list(shape)} where {list(expected)} was expected; "
                f"{AGAIN}"
            )
    if unknown := part.tensors.keys() - used - set(ignored):
        raise ModelError(
            f"{part.path} holds {min(unknown)}, which {part.title} does not have, so it is "
            "another model; take the plain Z-Image files"
        )
    return Weights(
        {
            ours: tuple(part.tensors[name] for name in names)
            for ours, names in key_map.sources.items()
        }
    )


def check_dtypes(part: Part) -> None:
    """ModelError unless every tensor is stored in float32 or bfloat16."""
    for name, tensor in part.tensors.items():
        if tensor.dtype == "F16":
            raise ModelError(f"{part.path} stores {name} as {_FLOAT16}")
        if tensor.dtype not in READABLE:
            quantised = tensor.dtype in QUANTISED
            raise ModelError(
                f"{part.path} stores {name} as {tensor.dtype}, "
                f"{'a quantised format' if quantised else 'a type'} that is not supported; "
                "take the bf16 or fp32 file instead"
            )


def fingerprint(files: Iterable[SafetensorsFile]) -> str:
    """A sha256 (hex) that names weights by their files' headers, sizes and the data's ends.

    Names and places of the files do not matter, so shards keep their name when moved.
    """
    digests = sorted({file.digest for file in files})
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _is_revision(folder: Path) -> bool:
    return folder.parent.name == "snapshots"


def _read_index(root: Path, path: Path) -> dict[str, str]:
    weight_map = read_config(inside(root, path), MAX_INDEX_BYTES).values.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{path} has no weight_map; {AGAIN}")
    for name, file in weight_map.items():
        plain = isinstance(file, str) and file.endswith(".safetensors") and "\\" not in file
        if not plain or Path(file).name != file:
            raise ModelError(
                f"{path} sends {short(name)} to {short(file)}, which is not the plain name of a "
                f".safetensors file beside it; {AGAIN}"
            )
    return weight_map


def _open_shards(
    root: Path, folder: Path, weight_map: dict[str, str]
) -> tuple[SafetensorsFile, ...]:
    files = tuple(
        open_safetensors(inside(root, folder / name)) for name in sorted(set(weight_map.values()))
    )
    stored = {(tensor.name, file.path.name) for file in files for tensor in file.tensors}
    if odd := stored ^ set(weight_map.items()):
        name, file_name = min(odd)
        raise ModelError(
            f"{folder / file_name} and its index do not agree about {short(name)}; delete the "
            f"folder {folder.name} and run `mezzotint pull ID` again"
        )
    return files


def _no_weights(folder: Path, names: list[str]) -> ModelError:
    pickles = [name for name in names if name.endswith(_PICKLE_ENDINGS)]
    if pickles:
        return ModelError(
            f"{folder} has its weights only as a pickle ({pickles[0]}), which can run code when "
            "it is opened; take a model with .safetensors files"
        )
    return ModelError(f"{folder} holds no .safetensors file; run `mezzotint pull ID` again")
