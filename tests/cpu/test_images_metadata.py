"""Metadata reads back as it was written, in every format, and what is damaged says so."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from mezzotint.images.file import content_id, encode, read
from mezzotint.images.metadata import DOCUMENT_KEY, PARAMETERS_KEY, XMP_KEY, parse, render
from mezzotint.images.png import MAX_FILE_BYTES, TextChunk, encode_png, read_png_text
from mezzotint.types import Format, MetadataLevel, Provenance, Recipe, RequestError, StepRange

FORMATS: tuple[Format, ...] = ("png", "webp", "jpeg")
PIXELS = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
RECIPE = Recipe(
    prompt='一只戴草帽的猫 "quoted" <b>&amp; 😀\r\nsecond\x00 line\x1f',
    negative_prompt="blurry, 模糊",
    width=1024,
    height=768,
    steps=8,
    guidance=0.5,
    guidance_rescale=0.0,
    guidance_truncation=1.0,
    seed=42,
)
PROVENANCE = Provenance(
    model="Tongyi-MAI/Z-Image-Turbo",
    weights="0123456789abcdef" * 4,
    precision="bf16",
    device="NVIDIA H200",
    versions=(("mezzotint", "0.1"), ("torch", "2.13.0")),
)

texts = st.text(max_size=120)
finite = st.floats(allow_nan=False, allow_infinity=False)
recipes = st.builds(
    Recipe,
    prompt=texts,
    negative_prompt=texts,
    width=st.integers(1, 4096),
    height=st.integers(1, 4096),
    steps=st.integers(1, 100),
    guidance=finite,
    guidance_rescale=finite,
    guidance_truncation=finite,
    seed=st.integers(0, 2**63 - 1),
)
provenances = st.builds(
    Provenance,
    model=texts,
    weights=texts,
    precision=texts,
    device=texts,
    versions=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)


def rendered(
    recipe: Recipe = RECIPE,
    provenance: Provenance = PROVENANCE,
    producer: str = "mezzotint",
    level: MetadataLevel = "full",
    format: Format = "png",
) -> dict[str, str]:
    return render(
        recipe,
        provenance,
        producer=producer,
        level=level,
        content_id=content_id(PIXELS),
        format=format,
    )


def encoded(
    format: Format,
    recipe: Recipe = RECIPE,
    provenance: Provenance = PROVENANCE,
    level: MetadataLevel = "full",
) -> bytes:
    return encode(PIXELS, format, recipe, provenance, producer='A & "B" 公司', level=level)


def xmp_of(data: bytes, format: Format) -> bytes:
    """Read the XMP as another program would."""
    with Pillow.open(io.BytesIO(data)) as picture:
        key = XMP_KEY if format == "png" else "xmp"
        packet = picture.info.get(key, b"")
    return packet.encode() if isinstance(packet, str) else packet


@settings(max_examples=60, deadline=None)
@given(recipe=recipes, provenance=provenances, producer=texts)
def test_texts_read_back(recipe: Recipe, provenance: Provenance, producer: str) -> None:
    for format in FORMATS:
        assert parse(rendered(recipe, provenance, producer, "full", format)) == (recipe, provenance)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None)
@given(recipe=recipes, provenance=provenances)
def test_files_read_back(format: Format, recipe: Recipe, provenance: Provenance) -> None:
    assert read(encoded(format, recipe, provenance)) == (recipe, provenance)


@pytest.mark.parametrize("format", FORMATS)
def test_steps_that_a_server_chose_say_what_was_asked(format: Format) -> None:
    data = encode(PIXELS, format, RECIPE, PROVENANCE, "p", "full", StepRange(4, 20))
    assert read(data) == (RECIPE, PROVENANCE)
    with Pillow.open(io.BytesIO(data)) as picture:
        if format == "png":
            document = json.loads(picture.info[DOCUMENT_KEY])
            assert document["asked"] == {"steps": {"min": 4, "max": 20}}
            assert document["recipe"]["steps"] == 8
            assert "Steps: 8, " in picture.info[PARAMETERS_KEY]
            assert "Steps asked: 4 to 20" in picture.info[PARAMETERS_KEY]
        else:
            assert '"asked":{"steps":{"max":20,"min":4}}' in picture.info["xmp"].decode()
    assert "asked" not in str(rendered())


@pytest.mark.parametrize("format", FORMATS)
def test_awkward_prompts_survive(format: Format) -> None:
    controls = "".join(
        map(chr, [*range(0x20), *range(0x7F, 0xA1), 0x2028, 0xFFFE, 0xFFFF, 0x1FFFE])
    )
    markup = "]]></rdf:Description> &#0; &lt; &not <?xpacket?> mezzotint:document> ' \" \\u0000"
    for prompt in (controls, markup, "", "猫" * 5000, "👩‍👩‍👧‍👦 e\u0301", "\ud800 lone"):
        recipe = replace(RECIPE, prompt=prompt, negative_prompt=prompt[::-1])
        assert read(encoded(format, recipe)) == (recipe, PROVENANCE)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_arguments_give_the_same_bytes(format: Format) -> None:
    assert encoded(format) == encoded(format, replace(RECIPE), replace(PROVENANCE))


@pytest.mark.parametrize("format", FORMATS)
def test_files_decode_to_the_picture(format: Format) -> None:
    with Pillow.open(io.BytesIO(encoded(format))) as picture:
        assert picture.size == (9, 8)
        assert picture.format == format.upper()
        if format == "png":
            assert np.array_equal(np.asarray(picture), PIXELS)


def test_jpeg_keeps_the_colour_of_every_pixel() -> None:
    with Pillow.open(io.BytesIO(encoded("jpeg"))) as picture:
        sampling = [(layer[1], layer[2]) for layer in picture.layer]  # type: ignore[attr-defined]
    assert sampling == [(1, 1), (1, 1), (1, 1)]


def test_parameters_follow_a1111() -> None:
    text = rendered(replace(RECIPE, prompt="a cat\non a mat"))[PARAMETERS_KEY]
    assert text == (
        "a cat\non a mat\nNegative prompt: blurry, 模糊\nSteps: 8, Sampler: Euler, CFG scale: 1.5, "
        "Seed: 42, Size: 1024x768, Model hash: 0123456789, Model: Tongyi-MAI/Z-Image-Turbo, "
        "Version: mezzotint 0.1"
    )


def test_parameters_leave_out_what_is_not_there() -> None:
    recipe = replace(RECIPE, prompt="cat", negative_prompt="", guidance=0.0)
    text = rendered(recipe, replace(PROVENANCE, model="a, b", versions=()))[PARAMETERS_KEY]
    assert text.startswith("cat\nSteps: 8,")
    assert "CFG scale: 1," in text
    assert text.endswith('Model: "a, b"')


def test_parameters_hold_no_control_characters() -> None:
    text = rendered()[PARAMETERS_KEY]
    assert "\0" not in text
    assert "\r" not in text
    assert "草帽的猫" in text


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_parameters_are_where_a1111_looks_for_them(format: Format) -> None:
    with Pillow.open(io.BytesIO(encoded(format))) as picture:
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be") == rendered()[PARAMETERS_KEY]


@pytest.mark.parametrize("level", ["full", "minimal"])
@pytest.mark.parametrize("format", FORMATS)
def test_marks_are_in_every_format(format: Format, level: MetadataLevel) -> None:
    packet = xmp_of(encoded(format, level=level), format)
    root = ElementTree.fromstring(packet.decode())  # noqa: S314 - our own bytes
    source = root.find(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    label = root.find(".//{http://www.tc260.org.cn/ns/AIGC/1.0/}AIGC")
    assert source is not None
    assert label is not None
    assert source.text == ("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia")
    assert json.loads(label.text or "") == {
        "Label": "1",
        "ContentProducer": 'A & "B" 公司',
        "ProduceID": content_id(PIXELS),
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }


@pytest.mark.parametrize("format", FORMATS)
def test_minimal_tells_no_prompt_and_none_tells_nothing(format: Format) -> None:
    minimal, nothing = encoded(format, level="minimal"), encoded(format, level="none")
    for spoken in ("blurry", "模糊", "Turbo", "H200"):
        for encoding in ("utf-8", "utf-16-be"):
            assert spoken.encode(encoding) not in minimal
    assert xmp_of(nothing, format) == b""
    for data in (minimal, nothing):
        with pytest.raises(RequestError, match="no Mezzotint recipe"):
            read(data)
    if format == "png":
        assert read_png_text(nothing) == {}
        assert set(read_png_text(minimal)) == {XMP_KEY}


def test_the_id_is_the_pixels_own() -> None:
    other = PIXELS.copy()
    other[0, 0, 0] ^= 1
    assert content_id(PIXELS) == content_id(PIXELS.copy()) != content_id(other)
    assert content_id(PIXELS[::-1]) == content_id(np.ascontiguousarray(PIXELS[::-1]))


def test_a_prompt_too_long_for_jpeg_names_the_remedy() -> None:
    recipe = replace(RECIPE, prompt="猫" * 32_000)
    with pytest.raises(RequestError, match="choose png or webp"):
        encoded("jpeg", recipe)
    assert read(encoded("webp", recipe)) == (recipe, PROVENANCE)
    assert read(encoded("png", recipe)) == (recipe, PROVENANCE)


def test_a_packet_that_another_program_rewrote_is_read() -> None:
    document = rendered()[DOCUMENT_KEY].replace("&", "&amp;").replace('"', "&quot;")
    for quote in "\"'":
        attribute = document.replace("<", "&lt;").replace("'", "&#39;")
        packet = f"<rdf:Description mezzotint:document={quote}{attribute}{quote}/>"
        assert parse({XMP_KEY: packet}) == (RECIPE, PROVENANCE)


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "schema 2": lambda d: d.update(schema=2),
    "schema None": lambda d: d.pop("schema"),
    "lacks recipe": lambda d: d.pop("recipe"),
    "unknown extra": lambda d: d.update(extra=1),
    "lacks seed": lambda d: d["recipe"].pop("seed"),
    "unknown path": lambda d: d["recipe"].update(path="/etc"),
    "recipe.seed is a str": lambda d: d["recipe"].update(seed="42"),
    "recipe.steps is a bool": lambda d: d["recipe"].update(steps=True),
    "recipe.width is a float": lambda d: d["recipe"].update(width=1.5),
    "recipe.guidance is a NoneType": lambda d: d["recipe"].update(guidance=None),
    "recipe.guidance is beyond": lambda d: d["recipe"].update(guidance=10**400),
    "recipe.prompt is a list": lambda d: d["recipe"].update(prompt=["cat"]),
    "recipe is a list": lambda d: d.update(recipe=[]),
    "lacks weights": lambda d: d["provenance"].pop("weights"),
    "provenance.versions is a dict": lambda d: d["provenance"].update(versions={}),
    "provenance.versions holds": lambda d: d["provenance"].update(versions=[["torch", 2]]),
}


@pytest.mark.parametrize("message", CHANGES)
def test_changed_documents_say_what_is_wrong(message: str) -> None:
    document = json.loads(rendered()[DOCUMENT_KEY])
    CHANGES[message](document)
    with pytest.raises(RequestError, match=message.replace("schema", "schema ?")):
        parse({DOCUMENT_KEY: json.dumps(document)})


@pytest.mark.parametrize(
    "document", ["{", "[]", "null", "NaN", "[" * 100_000, '{"schema":NaN}', "9" * 5000, "\x00"]
)
def test_other_documents_are_errors(document: str) -> None:
    with pytest.raises(RequestError):
        parse({DOCUMENT_KEY: document})


def test_a_document_is_sorted_and_readable() -> None:
    document = rendered()[DOCUMENT_KEY]
    assert "一只戴草帽的猫" in document
    assert document == json.dumps(
        json.loads(document), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )


def webp_with_canvas(side: int) -> bytes:
    data = bytearray(encoded("webp"))
    data[24:30] = (side - 1).to_bytes(3, "little") * 2
    return bytes(data)


BOMBS = {
    "empty": b"",
    "text": b"hello",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "gif": b"GIF89a" + bytes(64),
    "JPEG of empty segments": b"\xff\xd8" + b"\xff\xe5\x00\x02" * (5 * 2**20 - 2),
    "JPEG of fill bytes": b"\xff\xd8" + b"\xff" * (MAX_FILE_BYTES - 2),
    "JPEG of 65535x65535": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(9)
    + b"\xff\xda\x00\x02",
    "WebP of empty chunks": b"RIFF\x00\x00\x00\x00WEBP" + b"abcd\x00\x00\x00\x00" * 2**21,
    "WebP of 16384x16384": webp_with_canvas(16384),
    "WebP with a huge packet": b"RIFF\x00\x00\x00\x00WEBPXMP " + struct.pack("<I", 2 * 2**20)
    + bytes(2 * 2**20),
    "PNG of 5000x5000": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 5000, 5000)
    + b"\x08\x02\x00\x00\x00",
    "large": b"\xff\xd8" + bytes(MAX_FILE_BYTES),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_one_sentence_in_little_time(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        read(BOMBS[name])
    assert time.perf_counter() - start < 1.0
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_cut_file_is_refused_or_reads_the_same(format: Format) -> None:
    data = encoded(format)
    outcomes = set()
    for length in range(0, len(data) + 1, 7):
        with contextlib.suppress(RequestError):
            outcomes.add(read(data[:length]))
    assert outcomes <= {(RECIPE, PROVENANCE)}


def test_a_producer_cannot_pass_for_the_document() -> None:
    fake = "mezzotint:document='{}' <mezzotint:document>{}</mezzotint:document>"
    for format in FORMATS:
        assert parse(rendered(producer=fake, format=format)) == (RECIPE, PROVENANCE)


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\0\0\0\0WEBPVP8X"]),
    rest=st.binary(max_size=200),
)
def test_garbage_is_refused(start: bytes, rest: bytes) -> None:
    with pytest.raises(RequestError):
        read(start + rest)


def test_a_png_of_another_program_has_no_recipe() -> None:
    data = encode_png(PIXELS, [TextChunk("parameters", "a cat\nSteps: 20")])
    with pytest.raises(RequestError, match="no Mezzotint recipe"):
        read(data)
