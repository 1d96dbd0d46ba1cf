"""CUDA streams that engines take and give back, so that the next one's are the same.

What a library of products works in belongs to a thread's handle and a stream for as long as the
process lives, 32 MiB each: engines opened one after the other must not each leave theirs.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable

import torch

from mezzotint.types import ResourceError

_TORCH_HAS = 32  # streams of a device, which it deals round and round


class Streams:
    """Lends streams; one that was given back is lent again before a new one is made.

    No stream is lent twice at a time: what one engine launches must not end in a graph that another
    captures.
    """

    def __init__(self, make: Callable[[torch.device], torch.cuda.Stream]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._free: dict[torch.device, list[torch.cuda.Stream]] = defaultdict(list)
        self._made: dict[torch.device, set[int]] = defaultdict(set)  # their handles

    def take(self, device: torch.device) -> torch.cuda.Stream:
        """A stream of this device, the last one that was given back, or a new one.

        ResourceError when all that torch has are lent.
        """
        with self._lock:
            free = self._free[device]
            return free.pop() if free else self._new(device)

    def give_back(self, *streams: torch.cuda.Stream) -> None:
        """Nothing of theirs runs any more, and nothing will be launched on them."""
        with self._lock:
            for stream in streams:
                self._free[stream.device].append(stream)

    def _new(self, device: torch.device) -> torch.cuda.Stream:
        made = self._made[device]
        for _ in range(_TORCH_HAS):
            stream = self._make(device)
            if stream.cuda_stream not in made:
                made.add(stream.cuda_stream)
                return stream
        raise ResourceError(
            f"all {_TORCH_HAS} streams that torch has of {device} are taken; close an engine of "
            "this process, each has five"
        )


STREAMS = Streams(torch.cuda.Stream)  # of this process


def take_stream() -> torch.cuda.Stream:
    """One of the device that is current in this thread."""
    return STREAMS.take(torch.device("cuda", torch.cuda.current_device()))
