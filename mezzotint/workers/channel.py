"""Frames over a Unix socket: four bytes of length, the payload, and perhaps a descriptor."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from contextlib import suppress

from mezzotint.workers.frames import MAX_FRAME_BYTES, FrameError

_LENGTH_BYTES = 4
_READ_BYTES = 2**16
_MAX_DESCRIPTORS = 4  # in one read; the kernel never merges the descriptors of two sends
_READ_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # macOS has no such flag


class Channel:
    """One end of a connection. Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()
        self._sending = threading.Lock()

    def send(self, payload: bytes, descriptor: int | None = None) -> None:
        """Send one frame, waiting while the peer does not read. OSError when the peer is gone."""
        data = len(payload).to_bytes(_LENGTH_BYTES, "big") + payload
        with self._sending:
            if descriptor is not None:
                sent = socket.send_fds(self._socket, [data], [descriptor])
                data = data[sent:]
            self._socket.sendall(data)

    def receive(self) -> bytes | None:
        """Wait for one frame's bytes; None once the peer is gone. FrameError above the limit."""
        header = self._take(_LENGTH_BYTES)
        if header is None:
            return None
        length = int.from_bytes(header, "big")
        if length > MAX_FRAME_BYTES:
            raise FrameError(f"a frame claims {length} bytes and the limit is {MAX_FRAME_BYTES}")
        return self._take(length)

    def take_descriptor(self) -> int:
        """The descriptor that came with the frame just received. FrameError without one."""
        if not self._descriptors:
            raise FrameError("a frame came without its descriptor")
        return self._descriptors.popleft()

    def hang_up(self) -> None:
        """End the connection for both sides; a thread that waits in send or receive returns."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket and every descriptor nobody took."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _take(self, num_bytes: int) -> bytes | None:
        while len(self._buffer) < num_bytes:
            if not self._read():
                return None
        taken = bytes(self._buffer[:num_bytes])
        del self._buffer[:num_bytes]
        return taken

    def _read(self) -> bool:
        try:
            data, descriptors, flags, _ = socket.recv_fds(
                self._socket, _READ_BYTES, _MAX_DESCRIPTORS, _READ_FLAGS
            )
        except ConnectionError:  # it died with bytes of ours unread: gone all the same
            return False
        self._descriptors.extend(descriptors)
        if flags & socket.MSG_CTRUNC or len(self._descriptors) > _MAX_DESCRIPTORS:
            raise FrameError("a peer sent more descriptors than its frames need")
        self._buffer += data
        return bool(data)
