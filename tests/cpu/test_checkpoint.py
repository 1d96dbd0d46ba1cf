"""Safetensors files: what is refused, what is read, and how a module is filled."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import nn

from mezzotint.models.checkpoint import KeyMap, Part, Weights, check, fingerprint, inside
from mezzotint.models.fill import fill, read_into
from mezzotint.models.safetensors_file import StoredTensor, open_safetensors
from mezzotint.types import ModelError

CPU = torch.device("cpu")
GOOD = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


def write(path: Path, header: object, data: bytes = bytes(16)) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str = "F32", shape: object = (2, 2), offsets: object = (0, 16)) -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def pair(first: tuple[int, int], second: tuple[int, int]) -> object:
    return {"a": entry("U8", [first[1] - first[0]], first), "b": entry("U8", [8], second)}


DAMAGED = {
    "overlap": (pair((0, 10), (8, 16)), "a and b overlap or lie apart"),
    "hole": (pair((0, 4), (8, 16)), "a and b overlap or lie apart"),
    "same place": (pair((8, 16), (8, 16)), "hole before a"),
    "hole at the start": ({"a": entry("U8", [8], [8, 16])}, "hole before a"),
    "data after the end": ({"a": entry("U8", [8], [0, 8])}, "bytes where its header promises"),
    "beyond the end": ({"a": entry("U8", [32], [0, 32])}, "bytes where its header promises"),
    "length is not the shape's": ({"a": entry(shape=[2, 3])}, "F32 [2, 3] takes 24"),
    "offsets reversed": ({"a": entry(offsets=[16, 0])}, "a -16 bytes"),
    "negative offset": ({"a": entry(offsets=[-16, 0])}, "no sizes"),
    "negative sides": ({"a": entry(shape=[-2, -2])}, "no sizes"),
    "fractional side": ({"a": entry(shape=[2.0, 2])}, "no sizes"),
    "bool side": ({"a": entry(shape=[True, 4])}, "no sizes"),
    "immense side": ({"a": entry(shape=[2**70])}, "no sizes"),
    "rank": ({"a": entry(shape=[1] * 7 + [2, 2])}, "no sizes"),
    "dtype": ({"a": entry("PICKLE")}, "unknown dtype 'PICKLE'"),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2, 2]}}, "does not give dtype"),
    "entry is a list": ({"a": []}, "does not give dtype"),
    "control characters": ({"a\x1b[2J": entry()}, r"names a tensor 'a\x1b[2J'"),
    "name without end": ({"a" * 600: entry()}, "names a tensor 'aaa"),
    "nothing": ({}, "holds no tensors"),
    "twice": (b'{"a":[],"a":[]}', "a name occurs twice"),
    "not JSON": (b'{"a":', "header that is not JSON"),
    "not text": (b'{"\xff":1}', "header that is not JSON"),
    "deep": (b'{"a":' + b"[" * 100_000, "header that is not JSON"),
}


@pytest.mark.parametrize(("header", "sentence"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_header(header: object, sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", header)
    with pytest.raises(ModelError) as caught:
        open_safetensors(path)
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)
    assert "mezzotint pull" in str(caught.value)


FOREIGN = {
    "zip pickle": (b"PK\x03\x04" + bytes(60), "a pickle, which can run code"),
    "bare pickle": (b"\x80\x04\x95" + bytes(60), "a pickle, which can run code"),
    "GGUF": (b"GGUF\x03" + bytes(60), "a GGUF file, a quantised format"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "page": (b"<!DOCTYPE html><html></html>", "not a safetensors file"),
    "empty": (b"", "not a safetensors file"),
    "header over the limit": (b"\xff" * 6 + bytes(2) + b"{}", "over 100000000"),
    "cut inside the header": ((90).to_bytes(8, "little") + b"{}", "cut short at 10 bytes"),
}


@pytest.mark.parametrize(("data", "sentence"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_file(data: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        open_safetensors(path)
    assert sentence in str(caught.value)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="is not a file"):
        open_safetensors(tmp_path / "x.safetensors")


def test_header_length_like_a_pickle(tmp_path: Path) -> None:
    text = json.dumps(GOOD).ljust(0x80).encode()  # the first byte is a pickle's
    path = write(tmp_path / "x.safetensors", text)
    assert path.read_bytes()[0] == 0x80
    assert open_safetensors(path).tensors[0].shape == (2, 2)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed") / "x.safetensors"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_accepts_no_more_than_the_official_reader(fuzzed: Path, data: st.DataObject) -> None:
    tensors = {"a": torch.ones(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    raw = bytearray(save(tensors))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(b'0189{}[]",F'))
    raw = raw[: data.draw(st.integers(len(raw) - 2, len(raw)))]
    fuzzed.write_bytes(raw)
    try:
        found = {tensor.name: tensor for tensor in open_safetensors(fuzzed).tensors}
    except ModelError:
        return
    try:
        with safe_open(fuzzed, "pt") as file:
            assert set(file.keys()) == set(found)
            for name, tensor in found.items():
                part = file.get_slice(name)
                assert (tuple(part.get_shape()), part.get_dtype()) == (tensor.shape, tensor.dtype)
    except SafetensorError as error:
        pytest.fail(f"accepted what the official reader refuses: {error}")


def stored(path: Path, **tensors: torch.Tensor) -> dict[str, StoredTensor]:
    save_file(tensors, path)
    return {tensor.name: tensor for tensor in open_safetensors(path).tensors}


@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("target", [torch.float32, torch.bfloat16, torch.float64])
def test_values_are_read_and_cast(source: torch.dtype, target: torch.dtype, tmp_path: Path) -> None:
    value = torch.randn(5, 7).to(source)
    tensors = stored(tmp_path / "x.safetensors", first=torch.ones(3), value=value)
    out = torch.empty(5, 7, dtype=target)
    read_into(tensors["value"], out)
    assert torch.equal(out, value.to(target))


def test_a_view_that_is_not_contiguous_is_filled(tmp_path: Path) -> None:
    value = torch.randn(5, 7)
    out = torch.empty(7, 5).T
    read_into(stored(tmp_path / "x.safetensors", value=value)["value"], out)
    assert torch.equal(out, value)


def test_a_file_that_changed_is_not_read(tmp_path: Path) -> None:
    tensors = stored(tmp_path / "x.safetensors", value=torch.ones(4))
    stored(tmp_path / "x.safetensors", value=torch.zeros(5))
    with pytest.raises(ModelError, match="changed while the model was being loaded"):
        read_into(tensors["value"], torch.empty(4))


def test_a_file_that_went_is_an_error(tmp_path: Path) -> None:
    tensors = stored(tmp_path / "x.safetensors", value=torch.ones(4))
    (tmp_path / "x.safetensors").unlink()
    with pytest.raises(ModelError, match=r"x\.safetensors cannot be read"):
        read_into(tensors["value"], torch.empty(4))


def test_fill_lays_rows_end_to_end(tmp_path: Path) -> None:
    q, k = torch.randn(2, 3), torch.randn(4, 3)
    tensors = stored(tmp_path / "x.safetensors", q=q, k=k, b=torch.ones(6))
    weights = Weights({"weight": (tensors["q"], tensors["k"]), "bias": (tensors["b"],)})
    module = nn.Linear(3, 6, device="meta")
    fill(weights, module, CPU, torch.float32)
    assert torch.equal(module.weight, torch.cat([q, k]))
    (tmp_path / "x.safetensors").unlink()  # nothing is mapped
    assert torch.equal(module.bias, torch.ones(6))


def test_fill_refuses_another_module(tmp_path: Path) -> None:
    tensors = stored(tmp_path / "x.safetensors", weight=torch.ones(6, 3), bias=torch.ones(6))
    weights = Weights({name: (tensor,) for name, tensor in tensors.items()})
    with pytest.raises(ModelError, match="do not match in bias"):
        fill(weights, nn.Linear(3, 6, bias=False, device="meta"), CPU, torch.float32)
    with pytest.raises(ModelError, match=r"is \[5, 3\] in the module"):
        fill(weights, nn.Linear(3, 5, device="meta"), CPU, torch.float32)


def part(path: Path, **tensors: torch.Tensor) -> Part:
    found = stored(path, **tensors)
    return Part("the network", path, (open_safetensors(path),), found)


def test_check_says_what_does_not_fit(tmp_path: Path) -> None:
    one = part(tmp_path / "x.safetensors", a=torch.ones(2, 3), b=torch.ones(2))
    shapes = {"a": (2, 3), "b": (2,), "c": (1,)}
    check(one, KeyMap({"ours": ("a",), "other": ("b",)}, shapes))
    check(one, KeyMap({"ours": ("a",)}, shapes), ignored=["b"])
    with pytest.raises(ModelError, match="lacks c of the network"):
        check(one, KeyMap({"ours": ("a", "c")}, shapes))
    with pytest.raises(ModelError, match=r"has a as \[2, 3\] where \[3, 3\] was expected"):
        check(one, KeyMap({"ours": ("a",)}, {"a": (3, 3)}))
    with pytest.raises(ModelError, match="holds b, which the network does not have"):
        check(one, KeyMap({"ours": ("a",)}, shapes))


def test_a_1x1_convolution_is_a_linear_layer(tmp_path: Path) -> None:
    value = torch.randn(2, 3, 1, 1)
    one = part(tmp_path / "x.safetensors", a=value)
    weights = check(one, KeyMap({"weight": ("a",)}, {"a": (2, 3)}))
    module = nn.Linear(3, 2, bias=False, device="meta")
    fill(weights, module, CPU, torch.bfloat16)
    assert torch.equal(module.weight, value[:, :, 0, 0].bfloat16())


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    a, b = {"x": torch.arange(9)}, {"y": torch.arange(9)}
    for name, value in (("1", a), ("2", b), ("moved", a)):
        save_file(value, tmp_path / name)
    one, two, moved = (open_safetensors(tmp_path / name) for name in ("1", "2", "moved"))
    assert fingerprint([one, two]) == fingerprint([two, moved])
    assert len({fingerprint(files) for files in ([one], [two], [one, two])}) == 3


def test_links_may_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "model"
    root.mkdir()
    (root / "real").write_text("x")
    (tmp_path / "outside").write_text("x")
    (root / "fine").symlink_to("real")
    (root / "bad").symlink_to("../outside")
    (root / "loop").symlink_to("loop")
    assert inside(root, root / "fine") == root / "fine"
    with pytest.raises(ModelError, match="a link that leaves the model's folder"):
        inside(root, root / "bad")
    with pytest.raises(ModelError, match="a link that leaves the model's folder"):
        inside(root, root / ".." / "outside")
    with pytest.raises(ModelError, match="missing; run"):
        inside(root, root / "absent")
    with pytest.raises(ModelError, match="loop"):
        inside(root, root / "loop")
