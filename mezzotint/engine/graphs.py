"""CUDA graphs of one stage: captured once a shape's kernels are warm, replayed ever after."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from mezzotint.engine.capture import Aside, BrokenCapture, InPlace, Place
from mezzotint.engine.out_of_memory import ran_out_of_memory
from mezzotint.engine.streams import take_stream
from mezzotint.engine.unheld import allocator_lock, give_back

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


_Failure = Literal["no room", "refused"]


class GraphCache:
    """A Replay for one stage, called with that stage's stream current.

    The first call of a key runs eagerly, which warms what capture must not meet cold; where another
    key of its kind was captured, nothing is cold and the first call is captured at once. The graphs
    share one pool: they run one after the other on one stream. A pool gives memory back only whole,
    so graphs are dropped together: when `room` says that there is none, and when a capture runs out
    of memory. Only the thread that calls drops them, so none is dropped that it is about to replay.
    """

    def __init__(self, room: Callable[[], int], place: Place | None = None) -> None:
        self._room = room  # bytes that may still be spent
        self._place = InPlace() if place is None else place
        self._coming: dict[Hashable, Future[_Captured | _Failure]] = {}  # being prepared
        self._seen: set[Hashable] = set()
        self._warm: set[Hashable] = set()  # kinds of which a key was captured
        self._captured: dict[Hashable, _Captured] = {}
        self._pool: Any = None  # of the living graphs; None: the next one needs a new one
        self._spent_bytes = 0  # of pools that no graph can be captured into, nor torch give back
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
        captured = self._find(key, function, inputs, kind)
        return _run(function, inputs) if captured is None else captured(inputs)

    def prepare(
        self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor, kind: Hashable
    ) -> None:
        """Begin to capture a key before its first call, if its kind is warm and there is room."""
        known = key in self._seen or key in self.refused
        if not self._place.ahead or known or kind not in self._warm or self._room() <= 0:
            return
        self._seen.add(key)
        job = partial(self._try_to_capture, key, function, inputs, first=True)
        self._coming[key] = self._place.begin(job)

    def close(self) -> None:
        """Capture nothing any more, once what is being prepared is ready."""
        self._place.close()

    def drop(self) -> None:
        """Forget every graph and give their memory back to the device."""
        give_back(self.forget)

    def forget(self) -> None:
        """Hold no graph any more; the last replay must have run."""
        self._coming.clear()
        self._captured.clear()
        self._seen.clear()
        self._warm.clear()  # where graphs find no room, what is seen once is not worth capturing
        self._pool = None  # it ends with its last graph
        self.num_bytes = self._spent_bytes

    def _find(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
        kind: Hashable | None,
    ) -> _Captured | None:
        """The key's graph, captured now if it is time to."""
        coming = self._coming.pop(key, None)
        if coming is not None and isinstance(coming.result(), str):
            return None
        captured = self._captured.get(key)
        if captured is not None:
            self.replays += 1
            return captured
        first = key not in self._seen
        self._seen.add(key)
        if (first and kind not in self._warm) or key in self.refused:
            return None
        captured = self._capture_now(partial(self._try_to_capture, key, function, inputs, first))
        if captured is not None and kind is not None:
            self._warm.add(kind)
        return captured

    def _capture_now(self, job: Callable[[], _Captured | _Failure]) -> _Captured | None:
        """None where it cannot be done: the picture must not pay for it, and is made without."""
        if self._room() <= 0:
            if self._captured or not self._spent_bytes:
                self.drop()
            if self._spent_bytes and self._room() <= 0:
                return None  # it will not come back
        for make_room in (give_back, self.drop):  # what torch keeps of freed memory, then graphs
            outcome = self._place.begin(job).result()
            if outcome == "refused":
                return None
            if outcome != "no room":
                return outcome
            make_room()
        return None

    def _try_to_capture(
        self,
        key: Hashable,
        function: Callable[..., Tensor],
        inputs: tuple[Tensor, ...],
        first: bool,
    ) -> _Captured | _Failure:
        try:
            return self._capture(key, function, inputs)
        except RuntimeError as error:
            if ran_out_of_memory(error):
                return "no room"
            self._refuse(key, error, again=first)
            return "refused"

    def _refuse(self, key: Hashable, error: RuntimeError, again: bool) -> None:
        """Say what broke; a key that was never run eagerly is tried `again` when it was."""
        cause: BaseException = error
        while cause.__context__ is not None:  # the end of a broken capture hides what broke
            cause = cause.__context__
        why = f"{type(cause).__name__}: {cause}"
        if not again:
            self.refused[key] = why
        _log.warning("%s is not recorded%s: %s", key, " yet" if again else "", why)

    def _capture(
        self, key: Hashable, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> _Captured:
        with allocator_lock:  # what another stage captures meanwhile is not counted as this one's
            pool = torch.cuda.graph_pool_handle() if self._pool is None else self._pool
            self._place.get_ready()
            free_before, _ = torch.cuda.mem_get_info()
            try:
                static = tuple(torch.empty_like(x) for x in inputs)
                graph, output = self._place.record(function, static, pool)
            except BrokenCapture:
                self._pool = None
                self._spent_bytes = self.num_bytes = self.num_bytes + _taken_since(free_before)
                raise
            self.num_bytes += _taken_since(free_before)
            self._pool = pool  # not before a graph of it lives: torch begins none that has ended
            captured = _Captured(graph, static, output, function)
            self._captured[key] = captured
            return captured


def _taken_since(free_bytes: int) -> int:
    """Bytes of the device that were free and are not any more."""
    return max(0, free_bytes - torch.cuda.mem_get_info()[0])


def _run(function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
    """Eagerly; once more where memory ran out while another stage's graph was captured."""
    try:
        return function(*inputs)
    except torch.OutOfMemoryError:
        pass  # torch gives nothing back of what it keeps while anything is captured
    give_back()
    return function(*inputs)


@dataclass(frozen=True, slots=True)
class GraphTally:
    """Makes the stages' caches, holds them to one budget, and counts over all of them what ran."""

    limit_bytes: int  # of all stages' graphs
    caches: list[GraphCache] = field(default_factory=list)

    def make(self, *, ahead: bool = False) -> GraphCache:
        """A stage's cache; `ahead`: what is prepared is captured in a thread of its own."""
        self.caches.append(GraphCache(self.room, Aside(take_stream()) if ahead else InPlace()))
        return self.caches[-1]

    def close(self) -> None:
        """End the threads that capture, and give their streams back."""
        for cache in self.caches:
            cache.close()

    def room(self) -> int:
        """Bytes that graphs may still take."""
        return self.limit_bytes - self.num_bytes

    def forget(self) -> None:
        """Hold no graph of any stage any more; the last replays must have run."""
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
