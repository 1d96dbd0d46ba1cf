"""30 picture files made to exhaust their reader: each is one sentence, soon, in little memory."""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable
from functools import cache

import pytest
from isal import isal_zlib
from PIL import Image as Pillow
from serving import serving

from mezzotint.images.inspect import inspect
from mezzotint.images.png import MAX_FILE_BYTES
from mezzotint.types import RequestError

MIB = 2**20
PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int = 8, height: int = 8) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return header() + b"".join(chunks) + chunk(b"IEND", b"")


def ztxt(keyword: bytes, num_bytes: int, fill: bytes = b"\0") -> bytes:
    packed = zlib.compress(fill * (num_bytes // len(fill)), 9)
    return chunk(b"zTXt", keyword + b"\0\0" + packed)


def itxt(keyword: bytes, num_bytes: int) -> bytes:
    return chunk(b"iTXt", keyword + b"\0\1\0\0\0" + zlib.compress(bytes(num_bytes), 9))


def text(keyword: bytes, value: bytes) -> bytes:
    return chunk(b"tEXt", keyword + b"\0" + value)


def jpeg(*segments: tuple[int, bytes], width: int = 8, height: int = 8) -> bytes:
    frame = b"\x08" + struct.pack(">HH", height, width) + b"\x01\x01\x11\x00"
    parts = [b"\xff\xd8"]
    for marker, data in (*segments, (0xC0, frame)):
        parts.append(bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data)
    return b"".join(parts) + b"\xff\xda\x00\x02"


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(side: int) -> bytes:
    return bytes(4) + (side - 1).to_bytes(3, "little") * 2


def exif(entries: int, kind: int, number: int, offset: int) -> bytes:
    rows = struct.pack(">HHII", 0x010F, kind, number, offset) * min(entries, 5000)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", entries) + rows


def comfy(num: int, fan: int) -> bytes:
    nodes = {
        str(i): {"inputs": {f"conditioning{k}": [str((i + k) % num), 0] for k in range(fan)}}
        for i in range(num)
    }
    nodes["0"] = {"inputs": {"seed": ["1", 0], "positive": ["1", 0], "latent_image": ["1", 0]}}
    return json.dumps(nodes).encode()


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG of 65535 x 65535": lambda: header(65535, 65535) + chunk(b"IEND", b""),
    "PNG of 2^31-1 a side": lambda: header(2**31 - 1, 2**31 - 1) + chunk(b"IEND", b""),
    "PNG just over the pixels": lambda: header(4097, 4096) + chunk(b"IEND", b""),
    "zTXt of 256 MiB": lambda: png(chunk(b"zTXt", b"parameters\0\0" + huge())),
    "iTXt of 256 MiB": lambda: png(chunk(b"iTXt", b"parameters\0\1\0\0\0" + huge())),
    "zTXt of a MiB and a byte": lambda: png(ztxt(b"parameters", MIB + 1)),
    "100 zTXt of a MiB": lambda: png(*[ztxt(b"k%d" % i, MIB) for i in range(100)]),
    "1000 iTXt of 64 KiB": lambda: png(*[itxt(b"k%d" % i, 65_536) for i in range(1000)]),
    "zTXt within zTXt": lambda: png(chunk(b"zTXt", b"a\0\0" + zlib.compress(huge(), 9))),
    "a chunk of 4 GiB, by its length": lambda: header() + struct.pack(">I", 2**32 - 1) + b"tEXt",
    "a million empty chunks": lambda: header() + chunk(b"tEXt", b"") * 10**6,
    "empty texts without end": lambda: header() + text(b"a", b"") * 10**6,
    "20 MiB of one text": lambda: png(text(b"parameters", b"a" * (19 * MIB))),
    "JSON 100,000 deep": lambda: png(text(b"prompt", b"[" * 100_000)),
    "JSON objects 100,000 deep": lambda: png(text(b"prompt", b'{"a":' * 100_000)),
    "a number of a million digits": lambda: png(
        text(b"prompt", b'{"a":' + b"9" * (MIB - 9) + b"}")
    ),
    "a graph of 3000 nodes that all point at each other": lambda: png(
        text(b"prompt", comfy(3000, 8))
    ),
    "a graph of one chain of 20,000": lambda: png(text(b"prompt", comfy(20_000, 1))),
    "a line of a million commas": lambda: png(text(b"parameters", b"Steps: 1" + b"," * 1_000_000)),
    "a line of quotes": lambda: png(text(b"parameters", b"Steps: 1" + b', a: "b' * 200_000)),
    "a million lines": lambda: png(text(b"parameters", b"Steps:\n" * 140_000)),
    "backslashes": lambda: png(text(b"parameters", b'Steps: 1, a: "' + b"\\" * 1_000_000)),
    "XMP that nearly matches": lambda: png(
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"mezzotint:document=" * 50_000)
    ),
    "JPEG of 65535 x 65535": lambda: jpeg(width=65535, height=65535),
    "JPEG of empty segments": lambda: b"\xff\xd8" + b"\xff\xe5\x00\x02" * (5 * MIB - 2),
    "JPEG with 500 EXIF blocks": lambda: jpeg(*[(0xE1, exif(512, 2, 60_000, 8))] * 300),
    "JPEG whose EXIF points at 4 GiB": lambda: jpeg((0xE1, exif(65_535, 2, 2**32 - 1, 2**32 - 1))),
    "WebP of 16384 x 16384": lambda: webp((b"VP8X", canvas(16_384)), (b"VP8 ", bytes(10))),
    "WebP of two million empty chunks": lambda: webp() + (b"abcd" + bytes(4)) * (2 * MIB),
    "WebP with an EXIF of 10 MiB": lambda: webp((b"VP8X", canvas(8)), (b"EXIF", bytes(10 * MIB))),
    "GIF, TIFF, BMP and PSD are not opened": lambda: b"GIF89aII*\0BM8BPS" + bytes(64),
    "a ZIP of zeros": lambda: b"PK\x03\x04" + bytes(MIB),
}  # fmt: skip


HARMLESS = {  # slow for a careless reader, and well formed
    "a graph of 3000 nodes that all point at each other",
    "a line of a million commas",
    "backslashes",
}


def huge() -> bytes:
    """256 MiB of zeros, deflated."""
    packer = isal_zlib.compressobj(1)
    return b"".join(packer.compress(bytes(16 * MIB)) for _ in range(16)) + packer.flush()


@cache
def made(name: str) -> bytes:
    return BOMBS[name]()


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def test_there_are_30() -> None:
    assert len(BOMBS) >= 30


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_read_soon_in_little_memory(name: str) -> None:
    data = made(name)
    before, start = peak_bytes(), time.process_time()
    sentence = ""
    try:
        inspect(data)
    except RequestError as error:
        sentence = str(error)
    assert time.process_time() - start < 2.0
    assert peak_bytes() - before < 200 * MIB
    assert (sentence == "") == (name in HARMLESS)
    assert "\n" not in sentence
    assert len(sentence) < 400


def test_a_server_answers_every_bomb_and_lives() -> None:
    with serving() as server, server.client() as http:
        for name in BOMBS:
            answer = http.post("/api/v1/inspect", content=made(name))
            too_large = 413 if len(made(name)) > MAX_FILE_BYTES else 400
            assert answer.status_code == (200 if name in HARMLESS else too_large), name
        file = io.BytesIO()
        Pillow.new("RGB", (8, 8)).save(file, "PNG")
        assert "carries no settings" in http.post("/api/v1/inspect", content=file.getvalue()).text
        assert http.get("/health").status_code == 200
