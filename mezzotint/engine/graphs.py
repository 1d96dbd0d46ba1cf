"""CUDA graphs of one stage: captured once a shape's kernels are warm, replayed ever after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mezzotint.engine.capture import Aside, record
from mezzotint.engine.out_of_memory import ran_out_of_memory
from mezzotint.engine.streams import take_stream
from mezzotint.engine.unheld import give_back

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]  # what the graph reads; filled before each replay
    output: Tensor  # what it writes; read before the next replay, on the same stream
    function: Callable[..., Tensor]  # kept, since it holds the tables whose addresses are captured

    def __call__(self, inputs: tuple[Tensor, ...]) -> Tensor:
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        self.graph.replay()
        return self.output


class GraphCache:
    """A Replay for one stage, called with that stage's stream current.

    The first call of a key runs eagerly, which warms what capture must not meet cold; where another
    key of its kind was captured, nothing is cold and the first call is captured at once. The graphs
    share one pool: they run one after the other on one stream. A pool gives memory back only whole,
    so graphs are dropped together: when `room` says that there is none, and when a capture runs out
    of memory. With `aside`, captures are made there, and a key can be prepared while others run.
    """

    def __init__(self, room: Callable[[], int], aside: Aside | None = None) -> None:
        self._room = room  # bytes that may still be spent
        self._aside = aside
        self._coming: dict[Hashable, Future[_Captured | None]] = {}  # being prepared
        self._seen: set[Hashable] = set()
        self._warm: set[Hashable] = set()  # kinds of which a key was captured
        self._captured: dict[Hashable, _Captured] = {}
        self._pool: Any = None
        self.refused: dict[Hashable, str] = {}  # keys that cannot be recorded, and why
        self.num_bytes = 0  # of device memory, as the driver counts it
        self.launches = 0
        self.replays = 0

    def __call__(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        *inputs: Tensor,
        kind: Hashable | None = None,
    ) -> Tensor:
        self.launches += 1
        coming = self._coming.pop(key, None)
        if coming is not None and coming.result() is None:
            return function(*inputs)
        captured = self._captured.get(key)
        if captured is not None:
            self.replays += 1
            return captured(inputs)
        first = key not in self._seen
        self._seen.add(key)
        if (first and kind not in self._warm) or key in self.refused:
            return function(*inputs)
        captured = self._begin_to_capture(key, function, inputs, first).result()
        if captured is None:
            return function(*inputs)
        if kind is not None:
            self._warm.add(kind)
        return captured(inputs)

    def prepare(
        self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor, kind: Hashable
    ) -> None:
        """Begin to capture a key before its first call, if its kind is warm."""
        known = key in self._seen or key in self.refused
        if self._aside is None or known or kind not in self._warm:
            return
        self._seen.add(key)
        self._coming[key] = self._begin_to_capture(key, function, inputs, first=True)

    def close(self) -> None:
        """End the thread of `aside`, once what is being prepared is ready."""
        if self._aside is not None:
            self._aside.close()

    def drop(self) -> None:
        """Forget every graph and give their memory back to the device."""
        self.forget()
        give_back()

    def forget(self) -> None:
        """Hold no graph any more; the last replay may still run, so their memory stays torch's."""
        self._coming.clear()
        self._captured.clear()
        self._seen.clear()
        self._warm.clear()  # where graphs find no room, what is seen once is not worth capturing
        self.num_bytes = 0

    def _begin_to_capture(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
        first: bool,
    ) -> Future[_Captured | None]:
        job = partial(self._try_to_capture, key, function, inputs, first)
        return _run(job) if self._aside is None else self._aside.begin(job)

    def _try_to_capture(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
        first: bool,
    ) -> _Captured | None:
        """None where it cannot be done: the picture must not pay for it, and is made without."""
        for make_room in (give_back, self.drop):  # what torch keeps of freed memory, then graphs
            try:
                return self._capture(key, function, inputs)
            except RuntimeError as error:
                if not ran_out_of_memory(error):
                    self._refuse(key, error, again=first)
                    return None
            make_room()  # only here: the handler above kept what the capture held
        return None

    def _refuse(self, key: Hashable, error: RuntimeError, again: bool) -> None:
        """Say what broke; a key that was never run eagerly is tried `again` when it was."""
        cause = error.__context__ or error  # the end of a broken capture hides what broke
        why = f"{type(cause).__name__}: {cause}"
        if not again:
            self.refused[key] = why
        _log.warning("%s is not recorded%s: %s", key, " yet" if again else "", why)

    def _capture(
        self, key: Hashable, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> _Captured:
        if self._room() <= 0:
            self.drop()
        if not self._captured:  # a pool ends with its last graph, and torch begins none again
            self._pool = torch.cuda.graph_pool_handle()
        free_before, _ = torch.cuda.mem_get_info()
        static = tuple(torch.empty_like(x) for x in inputs)
        capture = record if self._aside is None else self._aside.record
        graph, output = capture(function, static, self._pool)
        free_after, _ = torch.cuda.mem_get_info()
        self.num_bytes += max(0, free_before - free_after)
        captured = _Captured(graph, static, output, function)
        self._captured[key] = captured
        return captured


def _run(job: Callable[[], _Captured | None]) -> Future[_Captured | None]:
    future: Future[_Captured | None] = Future()
    future.set_result(job())
    return future


@dataclass(frozen=True, slots=True)
class GraphTally:
    """Makes the stages' caches, holds them to one budget, and counts over all of them what ran."""

    limit_bytes: int  # of all stages' graphs
    caches: list[GraphCache] = field(default_factory=list)

    def make(self, *, ahead: bool = False) -> GraphCache:
        """A stage's cache; `ahead`: what is prepared is captured in a thread of its own."""
        self.caches.append(GraphCache(self.room, Aside(take_stream()) if ahead else None))
        return self.caches[-1]

    def close(self) -> None:
        """End the threads that capture."""
        for cache in self.caches:
            cache.close()

    def room(self) -> int:
        """Bytes that graphs may still take."""
        return self.limit_bytes - self.num_bytes

    def forget(self) -> None:
        """Hold no graph of any stage any more."""
        for cache in self.caches:
            cache.forget()

    @property
    def num_bytes(self) -> int:
        """Of device memory that all graphs hold."""
        return sum(cache.num_bytes for cache in self.caches)

    def count(self) -> tuple[int, int]:
        """(launches, replays among them) so far."""
        return sum(c.launches for c in self.caches), sum(c.replays for c in self.caches)

    def only_replays_since(self, before: tuple[int, int]) -> bool:
        """Whether something was launched since then, and all of it was replayed."""
        launches, replays = self.count()
        return before[0] < launches and launches - before[0] == replays - before[1]
