"""20 weight files made to attack their reader, as a model or a LoRA: none runs or is believed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mezzotint.models.find import describe
from mezzotint.models.safetensors_file import open_safetensors
from mezzotint.types import ModelError


class Bomb:
    """Pickled, it makes a file when it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.canary,))


def safetensors(entries: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[object], begin: object, end: object, dtype: str = "F32") -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def torch_file(canary: Path, *, zipped: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"lora_A": Bomb(canary)}, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def zip_with_wrong_sum(canary: Path) -> bytes:
    """As it passes scanners that stop at a bad CRC."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(canary)))
    data = bytearray(file.getvalue())
    data[14:18] = b"\xff\xff\xff\xff"
    return bytes(data)


def tar(canary: Path) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        payload = pickle.dumps(Bomb(canary))
        entry = tarfile.TarInfo("../../pickle")
        entry.size = len(payload)
        archive.addfile(entry, io.BytesIO(payload))
    return file.getvalue()


FILES: dict[str, Callable[[Path], bytes]] = {
    "a pickle": lambda canary: pickle.dumps(Bomb(canary)),
    "a pickle of protocol 0": lambda canary: pickle.dumps(Bomb(canary), 0),
    "torch's old pickle": lambda canary: torch_file(canary, zipped=False),
    "torch's zip": lambda canary: torch_file(canary, zipped=True),
    "a zip with a wrong checksum": zip_with_wrong_sum,
    "a tar that leaves its folder": tar,
    "a header before a pickle": lambda canary: safetensors(
        {"__metadata__": {"format": "pt"}}, pickle.dumps(Bomb(canary))
    ),
    "a header of 2^63 bytes": lambda _: safetensors(b"{}", length=2**63),
    "a header over its limit": lambda _: safetensors(b"{}", length=100 * 10**6 + 1),
    "a header longer than the file": lambda _: safetensors(b"{}", length=5000),
    "a header 100,000 deep": lambda _: safetensors(b'{"a":' * 100_000),
    "a name twice": lambda _: safetensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        bytes(4),
    ),
    "overlapping tensors": lambda _: safetensors(
        {"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)
    ),
    "a hole with something in it": lambda canary: safetensors(
        {"a": tensor([1], 0, 4), "b": tensor([1], 400, 404)}, bytes(4) + pickle.dumps(canary)
    ),
    "bytes after the end": lambda canary: safetensors(
        {"a": tensor([1], 0, 4)}, bytes(4) + pickle.dumps(Bomb(canary))
    ),
    "a negative offset": lambda _: safetensors({"a": tensor([1], -4, 0)}, bytes(4)),
    "a shape that overflows": lambda _: safetensors({"a": tensor([2**62, 4], 0, 0)}, b""),
    "a shape of booleans": lambda _: safetensors({"a": tensor([True], 0, 4)}, bytes(4)),
    "a shape of 1000 dimensions": lambda _: safetensors({"a": tensor([1] * 1000, 0, 4)}, bytes(4)),
    "an unknown dtype": lambda _: safetensors({"a": tensor([1], 0, 4, "object")}, bytes(4)),
    "a name with control characters": lambda _: safetensors(
        {"a\x1b[2J\n": tensor([1], 0, 4)}, bytes(4)
    ),
    "a name of a MiB": lambda _: safetensors({"a" * 2**20: tensor([1], 0, 4)}, bytes(4)),
    "GGUF": lambda _: b"GGUF" + bytes(100),
    "no tensors": lambda _: safetensors({"__metadata__": {}}),
}


def test_there_are_20() -> None:
    assert len(FILES) >= 20


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_attacks_is_one_sentence(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = FILES[name](canary)
    start = time.process_time()
    for ending in ("safetensors", "bin", "ckpt"):
        file = tmp_path / f"lora.{ending}"
        file.write_bytes(data)
        with pytest.raises(ModelError) as caught:
            open_safetensors(file)
        assert "\n" not in str(caught.value)
        with pytest.raises(ModelError):
            describe(file)
    assert time.process_time() - start < 3.0
    assert not canary.exists()


def test_the_bombs_are_live(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "canary")))  # noqa: S301
    assert (tmp_path / "canary").exists()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "loop.safetensors").symlink_to(tmp_path / "loop.safetensors")
    for place in (tmp_path, tmp_path / "pipe.safetensors", tmp_path / "loop.safetensors"):
        with pytest.raises(ModelError):
            open_safetensors(place)
