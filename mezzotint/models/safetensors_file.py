"""One safetensors file: its header checked by content, and no tensor read.

The format (github.com/huggingface/safetensors): 8 bytes of header length, little-endian; a JSON
header of dtype, shape and data_offsets by name; then the data, without holes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from mezzotint.types import ModelError

MAX_HEADER_BYTES: Final = 100 * 10**6  # the format's own limit
EDGE_BYTES: Final = 64 * 1024  # of a file's data at each end, in its digest
READABLE: Final = ("F32", "BF16")
AGAIN: Final = "delete it and run `mezzotint pull ID` again"

_MAX_RANK = 8
_MAX_NAME = 512
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
QUANTISED: Final = frozenset(name for name, bits in _BITS.items() if bits <= 8) - {"BOOL"}
_PICKLE = "a pickle, which can run code when it is opened; take the .safetensors file instead"
_FOREIGN = (
    (b"PK", _PICKLE),
    (b"\x80", _PICKLE),
    (b"GGUF", "a GGUF file, a quantised format that is not supported; take the bf16 file instead"),
    (b"version https://git-lfs", f"a Git LFS pointer and not the weights; {AGAIN}"),
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file as it was when its header was read."""

    path: Path
    num_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor lies: `num_bytes` from byte `start` of its file."""

    file: Stamp
    name: str
    dtype: str  # the format's spelling: F32, BF16, ...
    shape: tuple[int, ...]
    start: int
    num_bytes: int

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class SafetensorsFile:
    """A checked file: what it holds, and a digest of header, size and the data's two ends."""

    path: Path
    tensors: tuple[StoredTensor, ...]
    digest: bytes


def open_safetensors(path: Path) -> SafetensorsFile:
    """Read and check a file's header, and no tensor.

    ModelError unless it is a whole safetensors file: header within its limit, every tensor as
    long as its dtype and shape say, none overlapping, no holes, the end where the file ends.
    """
    if not path.is_file():  # a pipe would wait for ever
        raise ModelError(f"{path} is not a file; correct the path or run `mezzotint pull ID`")
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            stamp = Stamp(path, status.st_size, status.st_mtime_ns)
            header, data_start = _read_header(stamp, file)
            tensors = _tensors(stamp, header, data_start)
            return SafetensorsFile(path, tensors, _digest(stamp, tensors, data_start, file))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); {AGAIN}") from error


def _read_header(stamp: Stamp, file: BinaryIO) -> tuple[dict[str, object], int]:
    start = file.read(32)
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{":
        _refuse_foreign(stamp.path, start)
    if length > MAX_HEADER_BYTES:
        raise _damaged(stamp.path, f"says its header has {length} bytes, over {MAX_HEADER_BYTES}")
    if stamp.num_bytes < 8 + length:
        raise _damaged(stamp.path, f"is cut short at {stamp.num_bytes} bytes, inside its header")
    file.seek(8)
    try:
        header = json.loads(file.read(length), object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as error:
        raise _damaged(stamp.path, f"has a header that is not JSON ({error})") from error
    header.pop("__metadata__", None)
    return header, 8 + length


def _refuse_foreign(path: Path, start: bytes) -> None:
    for magic, what in _FOREIGN:
        if start.startswith(magic):
            raise ModelError(f"{path} is {what}")
    raise _damaged(path, "is not a safetensors file: no JSON header follows its first 8 bytes")


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _tensors(stamp: Stamp, header: dict[str, object], start: int) -> tuple[StoredTensor, ...]:
    tensors = sorted(
        (_tensor(stamp, name, entry, start) for name, entry in header.items()),
        key=lambda tensor: (tensor.start, tensor.num_bytes),
    )
    if not tensors:
        raise _damaged(stamp.path, "holds no tensors")
    if tensors[0].start != start:
        raise _damaged(stamp.path, f"has a hole before {tensors[0].name}")
    for one, following in pairwise(tensors):
        if one.start + one.num_bytes != following.start:
            raise _damaged(stamp.path, f"has {one.name} and {following.name} overlap or lie apart")
    end = tensors[-1].start + tensors[-1].num_bytes
    if end != stamp.num_bytes:
        raise _damaged(stamp.path, f"has {stamp.num_bytes} bytes where its header promises {end}")
    return tuple(tensors)


def _tensor(stamp: Stamp, name: str, entry: object, data_start: int) -> StoredTensor:
    if len(name) > _MAX_NAME or not name.isprintable():
        raise _damaged(stamp.path, f"names a tensor {name[:40]!r}")
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end]}:
            numbers = (*shape, begin, end)
        case _:
            raise _damaged(stamp.path, f"does not give dtype, shape and data_offsets of {name}")
    if dtype not in _BITS:
        raise _damaged(stamp.path, f"holds {name} in the unknown dtype {dtype[:40]!r}")
    if len(shape) > _MAX_RANK or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
        raise _damaged(stamp.path, f"gives {name} a shape or data_offsets that are no sizes")
    num_bytes, odd_bits = divmod(math.prod(shape) * _BITS[dtype], 8)
    if odd_bits or end - begin != num_bytes:
        raise _damaged(
            stamp.path, f"gives {name} {end - begin} bytes where {dtype} {shape} takes {num_bytes}"
        )
    return StoredTensor(stamp, name, dtype, tuple(shape), data_start + begin, num_bytes)


def _digest(
    stamp: Stamp, tensors: tuple[StoredTensor, ...], data_start: int, file: BinaryIO
) -> bytes:
    digest = hashlib.sha256(str(stamp.num_bytes - data_start).encode())
    for tensor in tensors:
        place = tensor.start - data_start
        digest.update(json.dumps([tensor.name, tensor.dtype, tensor.shape, place]).encode())
    for place in (data_start, max(data_start, stamp.num_bytes - EDGE_BYTES)):
        file.seek(place)
        digest.update(file.read(EDGE_BYTES))
    return digest.digest()


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} {what}; {AGAIN}")
