"""Capturing a CUDA graph, in place or in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.engine.streams import STREAMS
from mezzotint.engine.unheld import allocator_lock

Recorded = tuple[torch.cuda.CUDAGraph, Tensor]
Mode = Literal["thread_local", "relaxed"]

_T = TypeVar("_T")


def record(
    function: Callable[..., Tensor],
    inputs: tuple[Tensor, ...],
    pool: Any,
    mode: Mode = "thread_local",  # other threads may copy pixels meanwhile
) -> Recorded:
    """Capture a call on the current stream. -> the graph and the tensor that it writes.

    `torch.cuda.graph` would wait for the device before it and give back all memory that torch
    keeps, pinned memory too: the other stages would wait, and ask for it anew.
    """
    graph = torch.cuda.CUDAGraph()
    with allocator_lock:
        graph.capture_begin(pool=pool, capture_error_mode=mode)
        try:
            output = function(*inputs)
        finally:
            graph.capture_end()
    return graph, output


class Aside:
    """A thread with a stream of its own, where one stage's graphs are captured.

    The engine's thread launches meanwhile. A library's handle and the memory that it works in
    belong to a thread and a stream: graphs captured here may only run one after the other.
    """

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mezzotint-capture")
        self._settled = False

    def begin(self, job: Callable[[], _T]) -> Future[_T]:
        """Run a job on the stream, after those that were begun before it."""
        return self._thread.submit(self._run, job)

    def record(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: Any
    ) -> Recorded:
        """Capture a call, as `record` does; only from a job."""
        if not self._settled:
            _settle()
            self._settled = True
        # relaxed: what is new to this thread, as a convolution's plan, is made in the capture
        return record(function, inputs, pool, "relaxed")

    def close(self) -> None:
        self._thread.shutdown()
        STREAMS.give_back(self._stream)

    def _run(self, job: Callable[[], _T]) -> _T:
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            return job()


def _settle() -> None:
    """Let libraries make what they have for this thread and stream: no capture can hold that."""
    x = torch.zeros(1, 8, 8, 8, dtype=torch.bfloat16, device="cuda")
    functional.conv2d(x, x)
    functional.linear(x, x[0, 0], x[0, 0, 0])
