"""Capturing a CUDA graph, in place or in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.engine.streams import STREAMS
from mezzotint.engine.unheld import allocator_lock

Recorded = tuple[torch.cuda.CUDAGraph, Tensor]
Mode = Literal["thread_local", "relaxed"]

_T = TypeVar("_T")


class BrokenCapture(RuntimeError):
    """The driver gave a capture up: something in it cannot be captured. Its pool is spent."""


class Place(Protocol):
    """Where a stage's graphs are captured."""

    ahead: ClassVar[bool]  # whether keys can be captured before they are called

    def begin(self, job: Callable[[], _T]) -> Future[_T]:
        """Run a job there, after those that were begun before it."""
        ...

    def get_ready(self) -> None:
        """Make what no capture can hold; only from a job."""
        ...

    def record(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: Any
    ) -> Recorded:
        """Capture a call; only from a job. BrokenCapture where its pool cannot be used again."""
        ...

    def close(self) -> None:
        """Nothing is captured any more; once what was begun is done. Again: nothing happens."""
        ...


class InPlace:
    """On the thread and the stream that launch the stage."""

    ahead: ClassVar[bool] = False

    def begin(self, job: Callable[[], _T]) -> Future[_T]:
        done: Future[_T] = Future()
        done.set_result(job())
        return done

    def get_ready(self) -> None:
        pass  # the key was run here before, or one of its kind

    def record(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: Any
    ) -> Recorded:
        # thread_local: other threads may copy pixels meanwhile
        return _record(function, inputs, pool, "thread_local")

    def close(self) -> None:
        pass


class Aside:
    """A thread with a stream of its own; the engine's thread launches meanwhile.

    A library's handle and the memory that it works in belong to a thread and a stream: graphs
    captured here may only run one after the other.
    """

    ahead: ClassVar[bool] = True

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream: torch.cuda.Stream | None = stream
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mezzotint-capture")
        self._settled = False

    def begin(self, job: Callable[[], _T]) -> Future[_T]:
        return self._thread.submit(self._run, job)

    def get_ready(self) -> None:
        if not self._settled:
            _settle()
            self._settled = True

    def record(
        self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: Any
    ) -> Recorded:
        # relaxed: what is new to this thread, as a convolution's plan, is made in the capture
        return _record(function, inputs, pool, "relaxed")

    def close(self) -> None:
        self._thread.shutdown()
        stream, self._stream = self._stream, None
        if stream is not None:
            STREAMS.give_back(stream)

    def _run(self, job: Callable[[], _T]) -> _T:
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            return job()


def _record(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: Any, mode: Mode
) -> Recorded:
    """Capture a call on the current stream. -> the graph and the tensor that it writes.

    `torch.cuda.graph` would wait for the device before it and give back all memory that torch
    keeps, pinned memory too: the other stages would wait, and ask for it anew.
    """
    graph = torch.cuda.CUDAGraph()
    with allocator_lock:
        try:
            graph.capture_begin(pool=pool, capture_error_mode=mode)
            output = function(*inputs)
        finally:
            _end(graph, pool)
    return graph, output


def _end(graph: torch.cuda.CUDAGraph, pool: Any) -> None:
    try:
        graph.capture_end()
    except RuntimeError as error:
        # Until 2.13 torch stays in the middle of it then: nothing more could be captured, and
        # nothing given back. Where it has ended by itself it says so, which changes nothing.
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
        _capture_little()
        raise BrokenCapture(str(error)) from error


def _capture_little() -> None:
    """A capture that succeeds: until one does, torch draws no random number on the device."""
    graph = torch.cuda.CUDAGraph()
    with suppress(RuntimeError):
        graph.capture_begin(pool=torch.cuda.graph_pool_handle(), capture_error_mode="relaxed")
        torch.zeros(1, device="cuda")
        graph.capture_end()


def _settle() -> None:
    """Let libraries make what they have for this thread and stream."""
    x = torch.zeros(1, 8, 8, 8, dtype=torch.bfloat16, device="cuda")
    functional.conv2d(x, x)
    functional.linear(x, x[0, 0], x[0, 0, 0])
    # What this held is given to a graph's inputs next, which another stream fills.
    torch.cuda.current_stream().synchronize()
