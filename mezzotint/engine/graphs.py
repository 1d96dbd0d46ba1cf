"""CUDA graphs of one stage: captured the second time a shape is seen, replayed ever after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mezzotint.engine.out_of_memory import ran_out_of_memory
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

    The first call of a key runs eagerly, so a new shape costs no capture and warms what capture
    must not meet cold. The graphs share one pool: they run one after the other on one stream. A
    pool gives memory back only whole, so graphs are dropped together: when `room` says that there
    is none, and when a capture runs out of memory.
    """

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room  # bytes that may still be spent
        self._seen: set[Hashable] = set()
        self._captured: dict[Hashable, _Captured] = {}
        self._pool: Any = None
        self.refused: dict[Hashable, str] = {}  # keys that cannot be recorded, and why
        self.num_bytes = 0  # of device memory, as the driver counts it
        self.launches = 0
        self.replays = 0

    def __call__(self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        self.launches += 1
        captured = self._captured.get(key)
        if captured is not None:
            self.replays += 1
            return captured(inputs)
        if key not in self._seen:
            self._seen.add(key)
            return function(*inputs)
        captured = None if key in self.refused else self._try_to_capture(key, function, inputs)
        return captured(inputs) if captured is not None else function(*inputs)

    def drop(self) -> None:
        """Forget every graph and give their memory back to the device."""
        self.forget()
        give_back()

    def forget(self) -> None:
        """Hold no graph any more; the last replay may still run, so their memory stays torch's."""
        self._captured.clear()
        self._seen.clear()
        self._pool = None
        self.num_bytes = 0

    def _try_to_capture(
        self, key: Hashable, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> _Captured | None:
        """None where it cannot be done: the picture must not pay for it, and is made without."""
        try:
            return self._capture(key, function, inputs)
        except RuntimeError as error:
            no_memory = ran_out_of_memory(error)
            if not no_memory:
                cause = error.__context__ or error  # the end of a broken capture hides what broke
                self.refused[key] = f"{type(cause).__name__}: {cause}"
                _log.warning("%s is not recorded: %s", key, self.refused[key])
        if no_memory:  # only here: the handler above kept what the capture held
            self.drop()
        return None

    def _capture(
        self, key: Hashable, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> _Captured:
        if self._room() <= 0:
            self.drop()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        free_before, _ = torch.cuda.mem_get_info()
        static = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=torch.cuda.current_stream(),
            capture_error_mode="thread_local",  # other threads may copy pixels meanwhile
        ):
            output = function(*static)
        free_after, _ = torch.cuda.mem_get_info()
        self.num_bytes += max(0, free_before - free_after)
        captured = _Captured(graph, static, output, function)
        self._captured[key] = captured
        return captured


@dataclass(frozen=True, slots=True)
class GraphTally:
    """Makes the stages' caches, holds them to one budget, and counts over all of them what ran."""

    limit_bytes: int  # of all stages' graphs
    caches: list[GraphCache] = field(default_factory=list)

    def make(self) -> GraphCache:
        self.caches.append(GraphCache(self.room))
        return self.caches[-1]

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
