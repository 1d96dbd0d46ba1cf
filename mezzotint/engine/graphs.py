"""CUDA graphs of one stage: captured the second time a shape is seen, replayed ever after."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_MAX_GRAPHS = 48  # a stage's graphs are dropped together: their pool gives memory back only whole


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]  # what the graph reads; filled before each replay
    output: Tensor  # what it writes; read before the next replay, on the same stream
    function: Callable[..., Tensor]  # kept, since it holds the tables whose addresses are captured


class GraphCache:
    """A Replay for one stage, called with that stage's stream current.

    The first call of a key runs eagerly, so a new shape costs no capture and warms what capture
    must not meet cold. The graphs share one pool: they run one after the other on one stream.
    """

    def __init__(self) -> None:
        self._seen: set[Hashable] = set()
        self._captured: dict[Hashable, _Captured] = {}
        self._pool: Any = None
        self.launches = 0
        self.replays = 0

    def __call__(self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        self.launches += 1
        captured = self._captured.get(key)
        if captured is None:
            if key not in self._seen:
                self._seen.add(key)
                return function(*inputs)
            captured = self._capture(key, function, inputs)
        for static, given in zip(captured.inputs, inputs, strict=True):
            static.copy_(given)
        captured.graph.replay()
        self.replays += 1
        return captured.output

    def _capture(
        self, key: Hashable, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> _Captured:
        if len(self._captured) >= _MAX_GRAPHS:
            self._captured.clear()
            self._pool = None
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        static = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=torch.cuda.current_stream(),
            capture_error_mode="thread_local",  # other threads may copy pixels meanwhile
        ):
            output = function(*static)
        captured = _Captured(graph, static, output, function)
        self._captured[key] = captured
        return captured


@dataclass(frozen=True, slots=True)
class GraphTally:
    """Makes the stages' caches, and counts over all of them what ran; one thread's own."""

    caches: list[GraphCache] = field(default_factory=list)

    def make(self) -> GraphCache:
        self.caches.append(GraphCache())
        return self.caches[-1]

    def count(self) -> tuple[int, int]:
        """(launches, replays among them) so far."""
        return sum(c.launches for c in self.caches), sum(c.replays for c in self.caches)

    def only_replays_since(self, before: tuple[int, int]) -> bool:
        """Whether something was launched since then, and all of it was replayed."""
        launches, replays = self.count()
        return before[0] < launches and launches - before[0] == replays - before[1]
