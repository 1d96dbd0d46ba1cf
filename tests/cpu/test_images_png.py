"""The PNG writer gives files that others read back equal; the reader is bounded."""

from __future__ import annotations

import io
import statistics
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as Pillow

from mezzotint.images import png_pixels
from mezzotint.images.png import (
    MAX_CHUNKS,
    MAX_FILE_BYTES,
    MAX_TEXT_BYTES,
    TextChunk,
    encode_png,
    read_png_text,
)
from mezzotint.types import RequestError


def photo(height: int, width: int) -> np.ndarray:
    """Make a smooth picture with edges and a sensor's noise, the same at each call."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = np.stack([np.sin(6 * x + 3 * y * k) + np.cos(9 * y * k * x) for k in (1, 1.3, 1.7)], -1)
    tiles = Pillow.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8))
    blobs = np.asarray(tiles.resize((width, height), Pillow.Resampling.BICUBIC), float)
    noise = rng.normal(0, 1, (height, width, 3))
    edge = 40 * ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.06)[..., None]
    pixels: np.ndarray = np.clip(60 + 30 * waves + 0.5 * blobs + edge + noise, 0, 255)
    return pixels.astype(np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunks(*chunks: bytes) -> bytes:
    """Put chunks of a stranger's making behind the header of a sound PNG."""
    data = encode_png(np.zeros((1, 1, 3), np.uint8))
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 1), (33, 17), (255, 511), (1024, 1024)])
def test_pillow_decodes_equal_pixels(size: tuple[int, int]) -> None:
    pixels = photo(*size)
    with Pillow.open(io.BytesIO(encode_png(pixels))) as picture:
        picture.load()
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), pixels)


def test_extreme_pixels_survive_the_filter() -> None:
    pixels = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (64, 65, 3))
    with Pillow.open(io.BytesIO(encode_png(pixels))) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


def test_strided_pixels_are_written_as_they_look() -> None:
    pixels = photo(40, 60)[::2, ::-1]
    assert encode_png(pixels) == encode_png(np.ascontiguousarray(pixels))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[H, W, 3\] uint8"):
        encode_png(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float32"):
        encode_png(np.zeros((4, 4, 3), np.float32))


TEXTS = ["plain", "two\nlines", "戴草帽的猫 😀", "é", 'quo"te <a>&amp;', "tab\there\x01", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_read_back_by_us_and_by_pillow(text: str) -> None:
    data = encode_png(photo(3, 5), [TextChunk("parameters", text)])
    assert read_png_text(data) == {"parameters": text}
    with Pillow.open(io.BytesIO(data)) as picture:
        assert picture.info["parameters"] == text


def test_ascii_is_text_and_the_rest_international() -> None:
    pixels = np.zeros((1, 1, 3), np.uint8)
    assert b"tEXtparameters\0a cat" in encode_png(pixels, [TextChunk("parameters", "a cat")])
    assert b"iTXtparameters\0" in encode_png(pixels, [TextChunk("parameters", "caf\xe9")])
    assert b"iTXtXML:com.adobe.xmp\0\0\0\0\0<x/>" in encode_png(
        pixels, [TextChunk("XML:com.adobe.xmp", "<x/>")]
    )


@pytest.mark.parametrize(
    "text", [TextChunk("k", "a\0b"), TextChunk("", "a"), TextChunk("k" * 80, "a")]
)
def test_texts_no_reader_takes_are_refused(text: TextChunk) -> None:
    with pytest.raises(RequestError):
        encode_png(np.zeros((1, 1, 3), np.uint8), [text])
    with pytest.raises(RequestError, match="shorten"):
        encode_png(np.zeros((1, 1, 3), np.uint8), [TextChunk("k", "a" * (MAX_TEXT_BYTES + 1))])


def test_compressed_texts_of_others_are_read() -> None:
    packed = zlib.compress("深".encode())
    data = with_chunks(
        chunk(b"iTXt", b"prompt\0\1\0zh\0\0" + packed),
        chunk(b"zTXt", b"note\0\0" + zlib.compress(b"caf\xe9")),
    )
    assert read_png_text(data) == {"prompt": "深", "note": "café"}


def test_the_same_arguments_give_the_same_bytes() -> None:
    texts = [TextChunk("parameters", "猫")]
    assert encode_png(photo(64, 64), texts) == encode_png(photo(64, 64), texts)


BOMB = zlib.compress(bytes(64 * 2**20), 9)
MEGABYTE = zlib.compress(bytes(MAX_TEXT_BYTES), 9)
DAMAGED = {
    "bomb": with_chunks(chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB)),
    "old bomb": with_chunks(chunk(b"zTXt", b"k\0\0" + BOMB)),
    "many small bombs": with_chunks(*[chunk(b"zTXt", b"%d\0\0" % i + MEGABYTE) for i in range(99)]),
    "long text": with_chunks(chunk(b"tEXt", b"k\0" + bytes(MAX_TEXT_BYTES + 1))),
    "cut stream": with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"abcdef")[:-5])),
    "no stream": with_chunks(chunk(b"zTXt", b"k\0\0no zlib here")),
    "no keyword": with_chunks(chunk(b"tEXt", b"\0text")),
    "no language": with_chunks(chunk(b"iTXt", b"k\0\0\0text")),
    "not UTF-8": with_chunks(chunk(b"iTXt", b"k\0\0\0\0\0\xff\xfe")),
    "wrong CRC": with_chunks(chunk(b"tEXt", b"k\0text")[:-1] + b"x"),
    "huge length": with_chunks(b"\xff\xff\xff\xfftEXtk\0"),
    "empty chunks": with_chunks(chunk(b"teSt", b"") * (MAX_CHUNKS + 1)),
    "large file": with_chunks(chunk(b"teSt", bytes(MAX_FILE_BYTES))),
    "empty": b"",
    "another kind": b"\xff\xd8\xff\xe0" + bytes(100),
    "signature alone": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_one_sentence_in_little_time(name: str) -> None:
    start = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        read_png_text(DAMAGED[name])
    assert time.perf_counter() - start < 2.0
    assert "\n" not in str(caught.value)


def test_every_cut_and_every_flipped_byte_is_noticed() -> None:
    data = encode_png(photo(4, 4), [TextChunk("parameters", "a cat"), TextChunk("k", "猫")])
    for length in range(len(data)):
        with pytest.raises(RequestError):
            read_png_text(data[:length])
    for position in range(8, len(data) - 12):
        with pytest.raises(RequestError):
            read_png_text(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])


def median_ms(encode: Callable[[], bytes], repeats: int) -> tuple[float, int]:
    times, size = [], 0
    for _ in range(repeats):
        start = time.perf_counter()
        size = len(encode())
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times), size


def with_pillow(pixels: np.ndarray, level: int) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG", compress_level=level)
    return file.getvalue()


def test_a_megapixel_takes_less_than_half_of_pillows_time() -> None:
    pixels = photo(1024, 1024)
    ours, size = median_ms(lambda: encode_png(pixels), 5)
    fast, fast_size = median_ms(lambda: with_pillow(pixels, 1), 3)
    default, default_size = median_ms(lambda: with_pillow(pixels, 6), 3)
    print(
        f"\nPNG 1024x1024: ours {ours:.1f} ms {size} B, Pillow level 1 {fast:.1f} ms {fast_size} B"
    )
    print(f"Pillow default {default:.1f} ms {default_size} B")
    assert ours * 2 < default


@pytest.mark.parametrize("height", [512, 513, 1100])
def test_a_large_picture_is_written_in_strips_that_read_as_one(
    height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = photo(height, 1030)
    data = encode_png(pixels)
    assert (np.asarray(Pillow.open(io.BytesIO(data))) == pixels).all()
    with ThreadPoolExecutor(1) as thread:
        monkeypatch.setattr(png_pixels, "_threads", lambda: thread)
        assert encode_png(pixels) == data
        monkeypatch.setattr(png_pixels, "_STRIP_BYTES", pixels.nbytes)
        one_strip = encode_png(pixels)
    assert (np.asarray(Pillow.open(io.BytesIO(one_strip))) == pixels).all()
