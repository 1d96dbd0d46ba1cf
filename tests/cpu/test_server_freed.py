"""A picture's megabytes go with its answer; they do not wait for the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runner import FakeRunner, gradient
from serving import until
from test_server_jobs import World, world_of

from mezzotint.types import Recipe

CALL = {"prompt": "a red apple", "size": "64x64", "steps": 4, "n": 2}
PNG = {"Accept": "image/png"}


@pytest.fixture
def drawn() -> list[weakref.ref[np.ndarray]]:
    return []


@pytest.fixture
def world(tmp_path: Path, drawn: list[weakref.ref[np.ndarray]]) -> Iterator[World]:
    def draw(recipe: Recipe) -> np.ndarray:
        pixels = gradient(recipe)
        drawn.append(weakref.ref(pixels))
        return pixels

    with world_of(tmp_path, FakeRunner(draw=draw)) as made:
        gc.collect()
        gc.disable()
        try:
            yield made
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {}),
        ({"n": 1}, PNG),
        ({"response_format": "url"}, {}),
        ({"stream": True, "partial_images": 2}, {}),
    ],
    ids=["json", "file", "links", "stream"],
)
def test_of_a_call(
    world: World,
    drawn: list[weakref.ref[np.ndarray]],
    body: dict[str, Any],
    headers: dict[str, str],
) -> None:
    for _ in range(3):
        answer = world.http.post("/v1/images/generations", json=CALL | body, headers=headers)
        assert answer.status_code == 200, answer.text
    assert len(drawn) >= 3
    until(lambda: [ref for ref in drawn if ref() is not None] == [], 3)


def test_of_a_job(world: World, drawn: list[weakref.ref[np.ndarray]]) -> None:
    for _ in range(3):
        world.wait(world.post(n=2)["id"])
    assert len(drawn) >= 6
    until(lambda: [ref for ref in drawn if ref() is not None] == [], 3)
