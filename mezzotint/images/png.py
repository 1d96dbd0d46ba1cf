"""PNG files: a fast writer for finished pictures and a bounded reader for their texts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib

from mezzotint.images.png_pixels import compress, zlib_stream
from mezzotint.types import RequestError

MAX_FILE_BYTES = 20 * 2**20
MAX_TEXT_BYTES = 2**20  # of one text, decompressed
MAX_TEXTS_BYTES = 4 * 2**20  # of all texts: many small bombs are one large bomb
MAX_CHUNKS = 2**16  # 20 MiB of empty chunks would take seconds
XMP_KEYWORD = "XML:com.adobe.xmp"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = frozenset(map(chr, (10, *range(32, 127))))


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A keyword (1 to 79 printable ASCII characters) and its text (any Unicode but NUL)."""

    keyword: str
    text: str


def encode_png(pixels: np.ndarray, texts: Iterable[TextChunk] = ()) -> bytes:
    """Write 8-bit RGB `pixels` [H, W, 3] uint8 as a PNG that carries `texts`.

    Texts are asked for while the pixels are compressed. The bytes depend on the arguments and on
    the processor kind that isal compresses for. Raises ValueError for another array, RequestError
    for a text that no PNG reader takes.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"pixels must be [H, W, 3] uint8, not {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, no interlace
    strips = compress(pixels)
    # The texts come before the pixels, so that a reader finds them without decoding.
    pieces = [_SIGNATURE, *_chunk(b"IHDR", [header])]
    for text in texts:
        pieces += _text_chunk(text)
    return b"".join([*pieces, *_chunk(b"IDAT", zlib_stream(strips)), *_chunk(b"IEND", [])])


def read_png_text(data: bytes) -> dict[str, str]:
    """Read all texts (tEXt, zTXt, iTXt) of a PNG by keyword; of two alike the last one counts.

    Reads at most MAX_FILE_BYTES, MAX_TEXT_BYTES a text and MAX_TEXTS_BYTES in all, checks each
    chunk's CRC and decodes no pixels. Raises RequestError for anything else than a sound PNG.
    """
    texts: dict[str, str] = {}
    left = MAX_TEXTS_BYTES
    for kind, body in _chunks(data):
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, raw, encoding = _read_text(kind, body)
            left -= len(raw)
            if left < 0:
                raise RequestError(
                    f"the PNG's texts exceed {MAX_TEXTS_BYTES} bytes in all; "
                    "save the picture without its metadata"
                )
            texts[keyword] = _decode(raw, encoding, keyword)
    return texts


def png_size(data: bytes) -> tuple[int, int]:
    """Read the (width, height) in pixels from a PNG's header; RequestError if it has none."""
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 24:
        raise RequestError("the file is not a PNG: its signature or header is missing")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _chunk(kind: bytes, body: list[bytes]) -> list[bytes]:
    crc = isal_zlib.crc32(kind)
    for piece in body:
        crc = isal_zlib.crc32(piece, crc)
    return [struct.pack(">I", sum(map(len, body))), kind, *body, struct.pack(">I", crc)]


def _text_chunk(chunk: TextChunk) -> list[bytes]:
    """Choose tEXt for plain ASCII and iTXt for the rest.

    The oldest readers of A1111's `parameters` know tEXt alone, and some take its Latin-1 for
    UTF-8: ASCII is where all agree. XMP is defined for iTXt only.
    """
    keyword = chunk.keyword.encode("ascii")
    text = chunk.text.encode("utf-8")
    if not 1 <= len(keyword) <= 79 or not _PLAIN.issuperset(chunk.keyword):
        raise RequestError(f"the PNG keyword {chunk.keyword!r} must have 1 to 79 ASCII characters")
    if len(text) > MAX_TEXT_BYTES or b"\0" in text:
        raise RequestError(
            f"the PNG text {chunk.keyword!r} has {len(text)} bytes where at most "
            f"{MAX_TEXT_BYTES} without NUL fit; shorten the prompt"
        )
    if chunk.keyword != XMP_KEYWORD and _PLAIN.issuperset(chunk.text):
        return _chunk(b"tEXt", [keyword, b"\0", text])
    return _chunk(b"iTXt", [keyword, b"\0\0\0\0\0", text])  # uncompressed, no language


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(data) > MAX_FILE_BYTES:
        raise RequestError(f"the PNG has {len(data)} bytes; at most {MAX_FILE_BYTES} are read")
    png_size(data)
    offset = len(_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if offset + 12 > len(data):
            raise RequestError(f"the PNG is cut off after {len(data)} bytes; send the whole file")
        (length,) = struct.unpack_from(">I", data, offset)
        kind, end = data[offset + 4 : offset + 8], offset + 12 + length
        if end > len(data):
            raise RequestError(f"the PNG is cut off after {len(data)} bytes; send the whole file")
        (crc,) = struct.unpack_from(">I", data, end - 4)
        if isal_zlib.crc32(memoryview(data)[offset + 4 : end - 4]) != crc:
            raise RequestError(f"the PNG is damaged: wrong checksum in {kind!r} at byte {offset}")
        yield kind, data[offset + 8 : end - 4]
        if kind == b"IEND":
            return
        offset = end
    raise RequestError(f"the PNG has more than {MAX_CHUNKS} chunks; save it again as one picture")


def _read_text(kind: bytes, body: bytes) -> tuple[str, bytes, str]:
    """Split a text chunk into its keyword, its raw text and the encoding of that."""
    name, found, rest = body.partition(b"\0")
    keyword = name.decode("latin-1")
    if not found or not 1 <= len(keyword) <= 79:
        raise RequestError(f"the PNG has a text whose keyword of {len(name)} bytes is not 1 to 79")
    if kind == b"tEXt":
        return keyword, _bounded(rest, keyword), "latin-1"
    if kind == b"zTXt":
        return keyword, _inflate(rest[1:], keyword), "latin-1"
    compressed = rest[:1] == b"\1"
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(parts) != 3:
        raise RequestError(f"the PNG text {keyword!r} is damaged: its language fields do not end")
    return keyword, (_inflate if compressed else _bounded)(parts[2], keyword), "utf-8"


def _bounded(text: bytes, keyword: str) -> bytes:
    if len(text) > MAX_TEXT_BYTES:
        raise RequestError(f"the PNG text {keyword!r} exceeds {MAX_TEXT_BYTES} bytes; shorten it")
    return text


def _inflate(packed: bytes, keyword: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(packed, MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        raise RequestError(f"the PNG text {keyword!r} does not decompress: {error}") from error
    if not stream.eof and len(text) <= MAX_TEXT_BYTES:
        raise RequestError(f"the PNG text {keyword!r} is cut off; send the whole file")
    return _bounded(text, keyword)


def _decode(raw: bytes, encoding: str, keyword: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise RequestError(f"the PNG text {keyword!r} is not {encoding.upper()}") from error
