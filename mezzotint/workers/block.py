"""Shared memory for one picture: an anonymous file whose descriptor travels over the socket.

It has no name, so nobody can guess it and nothing is left behind when either process is killed:
the kernel frees it with its last descriptor. The reader copies with `pread` and does not map it,
since a mapping of a file that its writer cuts short kills the reader by SIGBUS.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable

from mezzotint.workers.frames import FrameError


def write_block(parts: Iterable[memoryview]) -> int:
    """A new block that holds these bytes. -> its descriptor, which the caller closes."""
    block = _create()
    try:
        for part in parts:
            rest = part.cast("B")
            while rest:
                rest = rest[os.write(block, rest) :]
    except BaseException:
        os.close(block)
        raise
    return block


def read_block(block: int, buffers: Iterable[memoryview]) -> None:
    """Fill writable buffers from a block; FrameError when its size is not their sum."""
    views = [buffer.cast("B") for buffer in buffers]
    expected, size = sum(map(len, views)), os.fstat(block).st_size
    if size != expected:
        raise FrameError(f"a block has {size} bytes in place of {expected}")
    offset = 0
    for view in views:
        rest = view
        while rest:
            num_read = os.preadv(block, [rest], offset)
            if num_read == 0:
                raise FrameError("a block was cut short while it was read")
            offset += num_read
            rest = rest[num_read:]


def _create() -> int:
    create = getattr(os, "memfd_create", None)
    if create is not None:
        return int(create("mezzotint-picture"))  # closed on exec
    with tempfile.TemporaryFile() as file:  # macOS: a file without a name in the page cache
        return os.dup(file.fileno())
