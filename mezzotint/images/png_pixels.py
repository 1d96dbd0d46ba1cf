"""The pixels of a PNG: filtered and compressed in strips side by side, in the background."""

from __future__ import annotations

import os
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from isal import isal_zlib

_STRIP_BYTES = 192 * 2**10  # 512 x 512 makes four; smaller ones cost more than they gain
_MAX_THREADS = 8
_UP_FILTER = 2
_ZLIB_HEADER = b"\x78\x01"
_ADLER = 65521  # the largest prime below 2^16


@dataclass(frozen=True, slots=True)
class _Strip:
    """Some rows: a piece of a deflate stream that ends on a whole byte, and what checks them."""

    deflated: bytes
    adler: int
    num_bytes: int  # before compression


def compress(pixels: np.ndarray) -> list[Future[_Strip]]:
    """Begin to compress pixels [H, W, 3] uint8; `zlib_stream` waits for the end.

    Strips follow from the size alone, so the bytes do not depend on how many cores there are.
    """
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, 3 * width)
    num_strips = max(1, min(height, rows.nbytes // _STRIP_BYTES))
    ends = [height * n // num_strips for n in range(num_strips + 1)]
    return [_threads().submit(_strip, rows, start, stop) for start, stop in pairwise(ends)]


def zlib_stream(strips: list[Future[_Strip]]) -> list[bytes]:
    """One stream of all strips, in pieces: they are copied once, into the file."""
    done = [strip.result() for strip in strips]
    adler = 1
    for strip in done:
        adler = _join_adler(adler, strip)
    return [_ZLIB_HEADER, *(strip.deflated for strip in done), struct.pack(">I", adler)]


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    # Kept: starting four threads for each picture took as long as a strip.
    return ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1), "mezzotint-png")


if hasattr(os, "register_at_fork"):  # a fork has the pool and none of its threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _strip(rows: np.ndarray, start: int, stop: int) -> _Strip:
    filtered = _up_filter(rows, start, stop)
    stream = isal_zlib.compressobj(1, wbits=-15)
    # A sync flush ends a strip on a whole byte without ending the stream.
    end = isal_zlib.Z_FINISH if stop == len(rows) else isal_zlib.Z_SYNC_FLUSH
    deflated = stream.compress(filtered) + stream.flush(end)
    return _Strip(deflated, isal_zlib.adler32(filtered), filtered.nbytes)


def _up_filter(rows: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Subtract from each row the one above, in bytes modulo 256. -> [stop - start, 1 + 3W] uint8.

    Of PNG's filters this alone is one vector operation, and it leaves a smooth picture small.
    """
    filtered = np.empty((stop - start, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP_FILTER
    if start == 0:
        filtered[0, 1:] = rows[0]
    first = max(start, 1)
    np.subtract(rows[first:stop], rows[first - 1 : stop - 1], out=filtered[first - start :, 1:])
    return filtered


def _join_adler(before: int, strip: _Strip) -> int:
    """The checksum of what was checked `before` and a strip behind it (RFC 1950)."""
    low, high = before & 0xFFFF, before >> 16
    strip_low, strip_high = strip.adler & 0xFFFF, strip.adler >> 16
    high = (high + strip_high + strip.num_bytes * (low - 1)) % _ADLER
    return high << 16 | (low + strip_low - 1) % _ADLER
