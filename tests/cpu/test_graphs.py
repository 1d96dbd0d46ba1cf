"""What is captured when, on a recorder that stands in for CUDA's."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from mezzotint.engine import capture, graphs
from mezzotint.engine.capture import Aside, BrokenCapture, InPlace
from mezzotint.engine.graphs import GraphCache
from mezzotint.engine.streams import Streams
from mezzotint.types import ResourceError

X = torch.ones(3)


class Graph:
    """Runs the function anew where CUDA would replay its launches."""

    def __init__(self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
        self.function, self.inputs, self.output = function, inputs, function(*inputs)

    def replay(self) -> None:
        self.output.copy_(self.function(*self.inputs))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Errors that the next captures end with, in order; none: they work."""
    errors: list[BaseException] = []

    pools = itertools.count()
    living: set[int] = set()
    ended: set[int] = set()

    def record(function: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: Any) -> Any:
        assert pool not in ended, "torch cannot begin again a pool that ended with its last graph"
        if errors:
            ended.update({pool} - living)
            raise errors.pop(0)
        living.add(pool)
        graph = Graph(function, inputs)
        return graph, graph.output

    for place in (InPlace, Aside):
        monkeypatch.setattr(place, "record", lambda _, *call: record(*call))
        monkeypatch.setattr(place, "get_ready", lambda _: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 0))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(pools))
    return errors


def double(x: Tensor) -> Tensor:
    return 2 * x


def run(cache: GraphCache, key: object, factor: float = 1.0, **options: object) -> str:
    """Run a key. -> whether it was run eagerly, captured or replayed."""
    before, captured = cache.replays, len(cache._captured)
    with torch.inference_mode():
        result = cache(key, double, factor * X, **options)  # type: ignore[arg-type]
    assert torch.equal(result, 2 * factor * X)
    if cache.replays > before:
        return "replayed"
    return "captured" if len(cache._captured) > captured else "eager"


def test_a_shape_is_captured_the_second_time(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    assert [run(cache, "a", n) for n in (1, 2, 3)] == ["eager", "captured", "replayed"]
    assert (cache.launches, cache.replays) == (3, 1)
    assert run(cache, "b") == "eager"  # no kind: nothing is known of its kernels


def test_a_shape_whose_kind_is_warm_is_captured_at_once(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    assert [run(cache, "a", n, kind="k") for n in (1, 2)] == ["eager", "captured"]
    assert [run(cache, "b", n, kind="k") for n in (1, 2)] == ["captured", "replayed"]
    assert run(cache, "c", kind="other") == "eager"
    cache.drop()  # there was no room: only what comes again is worth a capture
    assert [run(cache, key, kind="k") for key in ("a", "a", "b")] == [
        "eager",
        "captured",
        "captured",
    ]


def test_what_breaks_at_first_sight_is_tried_again(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    for _ in range(2):
        run(cache, "a", kind="k")
    broken.append(RuntimeError("a kernel was cold"))
    assert [run(cache, "b", n, kind="k") for n in (1, 2, 3)] == ["eager", "captured", "replayed"]
    assert cache.refused == {}


def test_what_breaks_once_it_was_run_is_refused(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    run(cache, "a")
    broken.append(RuntimeError("it asks the device"))
    assert [run(cache, "a") for _ in range(3)] == ["eager"] * 3
    assert cache.refused == {"a": "RuntimeError: it asks the device"}


def test_where_memory_runs_out_room_is_made_and_graphs_go_last(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    for key in ("a", "b"):
        run(cache, key)
    run(cache, "a")
    broken.append(torch.OutOfMemoryError("CUDA out of memory"))
    assert run(cache, "b") == "captured"  # what torch kept was enough
    run(cache, "c")
    broken += [torch.OutOfMemoryError("CUDA out of memory")] * 2
    assert run(cache, "c") == "eager"
    assert cache._captured == {}
    assert cache.refused == {}


class Stream:
    device = torch.device("cuda", 0)

    def __init__(self, handle: int = 1) -> None:
        self.cuda_stream = handle


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aside]:
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(capture, "STREAMS", Streams(lambda device: pytest.fail("it has one")))
    thread = Aside(Stream())  # type: ignore[arg-type]
    yield thread
    thread.close()
    assert isinstance(capture.STREAMS.take(Stream.device), Stream)


def warm(cache: GraphCache) -> None:
    assert [run(cache, "warm", kind="k") for _ in range(2)] == ["eager", "captured"]


def test_a_prepared_key_is_replayed_at_its_first_call(
    broken: list[BaseException], aside: Aside
) -> None:
    cache = GraphCache(lambda: 1, aside)
    cache.prepare("cold", double, X, kind="k")
    warm(cache)
    for _ in range(2):
        cache.prepare("a", double, X, kind="k")
    assert [run(cache, key, kind="k") for key in ("a", "cold")] == ["replayed", "captured"]
    cache.prepare("a", double, X, kind="k")
    assert cache._coming == {}
    assert sorted(map(str, cache._captured)) == ["a", "cold", "warm"]


def test_a_first_call_waits_for_what_is_being_prepared(
    broken: list[BaseException], aside: Aside
) -> None:
    cache, may_go_on = GraphCache(lambda: 1, aside), threading.Event()
    warm(cache)
    aside.begin(may_go_on.wait)
    cache.prepare("a", double, X, kind="k")
    threading.Timer(0.1, may_go_on.set).start()
    assert run(cache, "a", kind="k") == "replayed"


def test_what_cannot_be_prepared_is_run_and_then_captured(
    broken: list[BaseException], aside: Aside
) -> None:
    cache = GraphCache(lambda: 1, aside)
    warm(cache)
    broken.append(RuntimeError("a kernel was cold"))
    cache.prepare("a", double, X, kind="k")
    assert [run(cache, "a", n, kind="k") for n in (1, 2, 3)] == ["eager", "captured", "replayed"]
    assert cache.refused == {}
    broken.append(torch.OutOfMemoryError("CUDA out of memory"))
    cache.prepare("b", double, X, kind="k")
    assert [run(cache, "b", n, kind="k") for n in (1, 2, 3)] == ["eager", "captured", "replayed"]


def test_only_the_thread_that_calls_drops_graphs(
    broken: list[BaseException], aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one would drop what this one is about to replay."""
    made_room: list[str] = []
    monkeypatch.setattr(
        graphs, "give_back", lambda *let_go: made_room.append(threading.current_thread().name)
    )
    room = 1
    cache = GraphCache(lambda: room, aside)
    warm(cache)
    broken.append(torch.OutOfMemoryError("CUDA out of memory"))
    cache.prepare("a", double, X, kind="k")
    assert run(cache, "a", kind="k") == "eager"
    assert made_room == []
    broken += [torch.OutOfMemoryError("CUDA out of memory")] * 2
    assert run(cache, "a", kind="k") == "eager"
    assert made_room == [threading.current_thread().name] * 2
    room = 0
    cache.prepare("b", double, X, kind="k")
    assert cache._coming == {}


def test_a_pool_in_which_a_capture_broke_is_not_used_again(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    for key in ("a", "b", "a"):
        run(cache, key)
    pool = cache._pool
    broken.append(BrokenCapture("the capture was invalidated"))
    assert run(cache, "b") == "eager"
    run(cache, "c")
    assert run(cache, "c") == "captured"
    assert cache._pool not in (pool, None)
    assert run(cache, "a") == "replayed"  # its graph is whole


def test_a_pool_that_no_graph_came_to_live_in_is_not_used_again(
    broken: list[BaseException],
) -> None:
    cache = GraphCache(lambda: 1)
    for key in ("a", "b", "c", "d", "a"):
        run(cache, key)
    broken += [BrokenCapture("the capture was invalidated"), RuntimeError("it cannot be")]
    assert [run(cache, key) for key in ("b", "c", "d")] == ["eager", "eager", "captured"]


def test_what_is_spent_for_good_is_not_dropped_for_again_and_again(
    broken: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = itertools.count(0, -10)  # each capture takes ten bytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (next(free), 0))
    cache = GraphCache(lambda: 15 - cache.num_bytes)
    for key in ("a", "b", "a"):
        run(cache, key)
    broken.append(BrokenCapture("the capture was invalidated"))
    assert [run(cache, "b") for _ in range(2)] == ["eager"] * 2
    dropped: list[str] = []
    monkeypatch.setattr(graphs, "give_back", lambda let_go: (dropped.append("all"), let_go()))
    assert [run(cache, "c") for _ in range(4)] == ["eager"] * 4
    assert dropped == ["all"]


def test_what_finds_no_memory_beside_a_capture_is_run_once_more(
    broken: list[BaseException],
) -> None:
    calls: list[int] = []

    def once_without_memory(x: Tensor) -> Tensor:
        calls.append(len(calls))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 2 * x

    cache = GraphCache(lambda: 1)
    with torch.inference_mode():
        assert torch.equal(cache("a", once_without_memory, X), 2 * X)
    assert calls == [0, 1]


class Recording:
    """A CUDAGraph whose capture the driver gives up."""

    def capture_begin(self, **_: object) -> None: ...

    def capture_end(self) -> None:
        raise RuntimeError("operation failed due to a previous error during capture")


def test_a_capture_that_the_driver_gives_up_ends_in_torch_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[tuple[int, object]] = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    end = lambda *call: ended.append(call)  # noqa: E731
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", end, raising=False)
    monkeypatch.setattr(capture, "_capture_little", lambda: None)

    def asks_the_device(x: Tensor) -> Tensor:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(BrokenCapture, match="previous error") as broke:
        InPlace().record(asks_the_device, (X,), (0, 7))
    assert ended == [(3, (0, 7))]
    assert "not permitted" in str(broke.value.__context__.__context__)  # type: ignore[union-attr]


def test_without_a_thread_nothing_is_prepared(broken: list[BaseException]) -> None:
    cache = GraphCache(lambda: 1)
    warm(cache)
    cache.prepare("a", double, X, kind="k")
    assert cache._coming == {}


def test_no_room_drops_what_is_held(broken: list[BaseException]) -> None:
    room = iter([1, 0])
    cache = GraphCache(lambda: next(room))
    for key in ("a", "b", "a", "b"):
        run(cache, key)
    assert list(cache._captured) == ["b"]


def test_streams_are_lent_again_before_new_ones_are_made_and_none_twice() -> None:
    dealt = itertools.cycle(range(1, 5))  # as torch deals its 32
    streams = Streams(lambda device: Stream(next(dealt)))  # type: ignore[arg-type,return-value]
    first = [streams.take(Stream.device) for _ in range(3)]
    assert len({stream.cuda_stream for stream in first}) == 3
    streams.give_back(*first)
    again = [streams.take(Stream.device) for _ in range(3)]
    assert again == first[::-1]
    streams.take(torch.device("cuda", 1))
    assert streams.take(Stream.device).cuda_stream not in {each.cuda_stream for each in again}
    with pytest.raises(ResourceError, match="close an engine"):
        streams.take(Stream.device)
    streams.give_back(first[0])
    assert streams.take(Stream.device) is first[0]
