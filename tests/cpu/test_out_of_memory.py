"""Memory that runs out while a picture is made costs that picture and nothing else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint import Engine, Request
from mezzotint.engine.out_of_memory import ran_out_of_memory
from mezzotint.models.spec import DecodeRow, Denoise, SlotBuffers, StepRow
from mezzotint.types import ResourceError

LARGE = Request(prompt="a red apple", seed=1, width=192, height=192, steps=2)
SMALL = replace(LARGE, width=128, height=128)
SENTENCE = (
    "memory ran out while 192x192 was denoised (2.00 GiB more were needed); the engine goes on: "
    "ask for a smaller size, or start it with more --memory or fewer slots"
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(device="cpu") as engine:
        yield engine


@pytest.fixture
def held(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[torch.Tensor]]:
    """Large pictures run out of memory; weak references to what they had allocated by then."""
    held: list[weakref.ref[torch.Tensor]] = []
    executor = engine._loop._executor
    denoise: Denoise = executor._model.denoise

    def faulty(rows: Sequence[StepRow], slots: SlotBuffers) -> None:
        if any(row.width == LARGE.width for row in rows):
            tensor = torch.empty(1024, 1024)
            held.append(weakref.ref(tensor))
            message = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 79 GiB.\nAdvice."
            raise torch.OutOfMemoryError(message)
        denoise(rows, slots)

    monkeypatch.setattr(executor, "_model", replace(executor._model, denoise=faulty))
    return held


def test_the_picture_fails_with_a_sentence_and_the_engine_lives(
    engine: Engine, held: list[weakref.ref[torch.Tensor]]
) -> None:
    before = engine.submit(SMALL).result(60).data
    tickets = [engine.submit(request) for request in (LARGE, SMALL)]
    with pytest.raises(ResourceError) as failed:
        tickets[0].result(60)
    assert str(failed.value) == SENTENCE
    assert failed.value.__context__ is None
    assert tickets[1].result(60).data == before
    assert held[0]() is None


@pytest.mark.parametrize(("copy", "doing"), [("preview", "denoised"), ("pixels", "decoded")])
def test_the_hosts_memory_may_run_out_where_a_picture_is_taken_out_of_its_slot(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, copy: str, doing: str
) -> None:
    def faulty(row: StepRow | DecodeRow) -> np.ndarray:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(engine._loop._executor, copy, faulty)
        ticket = engine.submit(replace(SMALL, previews=1))
        with pytest.raises(ResourceError, match=f"memory ran out while 128x128 was {doing}"):
            ticket.result(60)
    assert engine.submit(SMALL).result(60).data


def test_fifty_times_over_nothing_is_left_behind(
    engine: Engine, held: list[weakref.ref[torch.Tensor]]
) -> None:
    with pytest.raises(ResourceError):
        engine.submit(LARGE).result(60)
    num_tensors = _num_tensors()
    tickets = []
    for _ in range(50):
        tickets.append(engine.submit(LARGE))
        with pytest.raises(ResourceError, match="memory ran out"):
            tickets[-1].result(60)
    engine.submit(SMALL).result(60)
    assert len(held) == 51
    assert not any(reference() is not None for reference in held)
    assert _num_tensors() <= num_tensors
    stats = engine.stats()
    assert (stats.running, stats.waiting) == (0, 0)
    assert stats.outcomes["failed"] >= 51


def test_an_error_that_hides_exhausted_memory_is_seen_through() -> None:
    def capture() -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    with pytest.raises(RuntimeError) as error:
        capture()
    assert ran_out_of_memory(error.value)
    assert ran_out_of_memory(MemoryError())
    assert not ran_out_of_memory(RuntimeError("another"))


def _num_tensors() -> int:
    gc.collect()
    objects: list[Any] = gc.get_objects()
    return sum(issubclass(type(each), torch.Tensor) for each in objects)
