"""The texts of an EXIF block: descriptions, and the comment that image programs write into.

Pillow reads these too, but follows every pointer of a stranger's file; this reader looks at two
tables of bounded length and copies four values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PREFIX = b"Exif\0\0"
MAX_ENTRIES = 512  # of a table
MAX_VALUE_BYTES = 2**20

_DESCRIPTION, _MAKE, _MODEL, _EXIF_TABLE, _USER_COMMENT = 0x010E, 0x010F, 0x0110, 0x8769, 0x9286
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # bytes of a value, by the kinds that texts and tables have


@dataclass(frozen=True, slots=True)
class ExifTexts:
    """What an EXIF block says in words; empty where it says nothing or is damaged."""

    described: tuple[str, ...] = ()  # image description, maker, model
    comment: str = ""


def read_exif(data: bytes) -> ExifTexts:
    """Read a block with or without its prefix; what is damaged is left out, never an error."""
    block = data.removeprefix(PREFIX)
    order = _BYTE_ORDERS.get(block[:4])
    if order is None or len(block) < 8:
        return ExifTexts()
    (first,) = struct.unpack_from(f"{order}I", block, 4)
    main = dict(_entries(block, order, first))
    described = tuple(_plain(main[tag]) for tag in (_DESCRIPTION, _MAKE, _MODEL) if tag in main)
    table = main.get(_EXIF_TABLE, b"")
    if len(table) != 4:
        return ExifTexts(described)
    (second,) = struct.unpack(f"{order}I", table)
    comment = dict(_entries(block, order, second)).get(_USER_COMMENT, b"")
    return ExifTexts(described, _comment(comment, order))


def _entries(block: bytes, order: str, offset: int) -> Iterator[tuple[int, bytes]]:
    """(tag, value) of a table's sound entries."""
    if offset + 2 > len(block):
        return
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    for index in range(min(count, MAX_ENTRIES)):
        place = offset + 2 + 12 * index
        if place + 12 > len(block):
            return
        tag, kind, number = struct.unpack_from(f"{order}HHI", block, place)
        length = number * _SIZES.get(kind, 0)
        start = place + 8
        if length > 4:
            (start,) = struct.unpack_from(f"{order}I", block, start)
        if 0 < length <= MAX_VALUE_BYTES and start + length <= len(block):
            yield tag, block[start : start + length]


def _plain(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def _comment(value: bytes, order: str) -> str:
    """A user comment: eight bytes that name its encoding, then the text."""
    name, text = value[:8], value[8:]
    if name != b"UNICODE\0":
        return _plain(text if name in (b"ASCII\0\0\0", bytes(8)) else value)
    # Writers disagree: by the block's byte order, or big-endian always. Settings are full of
    # ASCII, whose high byte is 0.
    high_first, low_first = text[::2].count(0), text[1::2].count(0)
    big = order == ">" if high_first == low_first else high_first > low_first
    return text.decode("utf-16-be" if big else "utf-16-le", "replace").rstrip("\0")
