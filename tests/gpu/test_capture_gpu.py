"""Captures that break, and streams that engines take, on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from mezzotint import Engine
from mezzotint.engine.capture import Aside, InPlace, Place
from mezzotint.engine.graphs import GraphCache
from mezzotint.engine.streams import STREAMS, take_stream
from mezzotint.types import ConfigError

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

ROOM = 2**30


@pytest.fixture(params=["in place", "aside"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    where = InPlace() if request.param == "in place" else Aside(take_stream())
    yield where
    where.close()


@pytest.fixture
def stream() -> Iterator[torch.cuda.Stream]:
    """The stage's own."""
    stream = take_stream()
    yield stream
    STREAMS.give_back(stream)


def asks_the_device(x: Tensor) -> Tensor:
    """A host that waits for a device cannot be captured."""
    return x * float(x.sum())


def only_eager(x: Tensor) -> Tensor:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError("it does not like to be captured")
    return 3 * x


def double(x: Tensor) -> Tensor:
    return 2 * x


def test_a_capture_that_breaks_leaves_the_next_ones_whole(
    place: Place, stream: torch.cuda.Stream
) -> None:
    cache = GraphCache(lambda: ROOM, place)
    x = torch.arange(8.0, device="cuda")
    torch.cuda.synchronize()
    with torch.inference_mode(), torch.cuda.stream(stream):
        _thrice(cache, "before", double, x)
        _thrice(cache, "broken", asks_the_device, x)
        assert cache._pool is None  # the driver gave it up
        torch.rand(1, device="cuda")  # which torch refuses while it takes it for captured
        _thrice(cache, "refused", only_eager, x)
        _thrice(cache, "after", double, x)
    assert list(cache.refused) == ["broken", "refused"]
    assert (cache.launches, cache.replays) == (12, 2)
    cache.drop()
    torch.cuda.empty_cache()  # which torch refuses in the midst of a capture
    with torch.inference_mode(), torch.cuda.stream(stream):
        for _ in range(2):
            assert torch.equal(cache("again", double, x), double(x))


def test_an_engine_that_cannot_be_opened_keeps_no_stream() -> None:
    with Engine(device="cuda"):
        pass
    before = _lent()
    for _ in range(2):
        with pytest.raises(ConfigError):
            Engine(device="cuda", warm_up="4096x4096")
    assert _lent() == before


def test_an_engine_takes_the_streams_of_the_one_before() -> None:
    handles = []
    for _ in range(2):
        with Engine(device="cuda") as engine:
            handles.append([each.cuda_stream for each in engine._loop._executor._streams])
    assert handles[0] == handles[1]
    assert len(set(handles[0])) == 4


def _thrice(cache: GraphCache, key: str, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Run, capture and replay it, or run it every time."""
    expected = function(x)
    for _ in range(3):
        assert torch.equal(cache(key, function, x), expected)


def _lent() -> int:
    made = sum(map(len, STREAMS._made.values()))
    return made - sum(map(len, STREAMS._free.values()))
