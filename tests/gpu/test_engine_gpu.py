"""The engine on an NVIDIA GPU: the same pictures as on the CPU, and nothing left behind."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from mezzotint import Cancelled, Engine, Progress, Request
from mezzotint.config import read_precision
from mezzotint.engine.cost import PACK_FROM
from mezzotint.engine.graphs import GraphCache
from mezzotint.engine.record import Mark

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
FP8_ATTENTION = pytest.param(
    "fp8+attention",
    marks=pytest.mark.skipif(
        torch.cuda.is_available() and torch.cuda.get_device_capability()[0] != 9,
        reason="needs Hopper",
    ),
)
REQUESTS = [
    Request(prompt="a red apple on green grass", seed=1),
    Request(prompt="a blue car", seed=2, width=160, height=112, steps=6),
    Request(prompt="three yellow stars", seed=3, guidance=3.0, negative_prompt="a cat", steps=7),
    Request(prompt="a cat " * 40, seed=4, steps=5, guidance=0.0),
    Request(prompt="a penguin in the snow", seed=5, guidance=2.0, guidance_rescale=0.9),
]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def pictures(engine: Engine) -> list[np.ndarray]:
    return [ticket.result(120).pixels for ticket in engine.submit_all(REQUESTS)]


@pytest.fixture(scope="module")
def on_cpu() -> list[np.ndarray]:
    with Engine(device="cpu") as engine:
        return pictures(engine)


@pytest.fixture(scope="module", params=["fp32", "bf16", "fp8", FP8_ATTENTION])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with Engine(device="cuda", **read_precision(request.param)) as engine:
        yield engine


def test_pictures_equal_the_cpus(engine: Engine, on_cpu: list[np.ndarray]) -> None:
    ratios = [psnr(a, b) for a, b in zip(pictures(engine), on_cpu, strict=True)]
    print(engine.provenance.precision, [round(r, 1) for r in ratios])
    least = {"fp32": 50.0, "bf16": 25.0}.get(engine.provenance.precision, 15.0)
    assert min(ratios) >= least


def test_the_same_request_makes_the_same_bytes(engine: Engine) -> None:
    first = [ticket.result(120).data for ticket in engine.submit_all(REQUESTS)]
    again = [ticket.result(120).data for ticket in engine.submit_all(REQUESTS)]
    assert first == again


def test_graphs_replay_to_the_bytes_that_eager_makes(engine: Engine) -> None:
    precision = read_precision(engine.provenance.precision)
    with Engine(device="cuda", graphs=False, **precision) as eager:
        expected = [ticket.result(120).data for ticket in eager.submit_all(REQUESTS)]
    for _ in range(3):  # eager, capture, replay: whatever this engine has seen before
        assert [t.result(120).data for t in engine.submit_all(REQUESTS)] == expected
    denoise = engine._model.denoise._replay  # type: ignore[attr-defined]
    assert isinstance(denoise, GraphCache)
    assert denoise.replays >= 0.8 * denoise.launches


def test_a_new_size_s_decoding_is_recorded_before_it_is_needed(engine: Engine) -> None:
    decode = engine._model.decode._replay  # type: ignore[attr-defined]
    assert isinstance(decode, GraphCache)
    for _ in range(3):  # where its kind was not seen before, or forgotten, nothing is prepared
        engine.submit(REQUESTS[1]).result(120)
    sizes = [(176, 144), (144, 176), (96, 112)]
    # prompts encoded in company differ in a last bit: one that no test had before
    new = Request(prompt="a green hat", steps=8, seed=7)
    requests = [replace(new, width=w, height=h) for w, h in sizes]
    launches, replays = decode.launches, decode.replays
    made = [engine.submit(request).result(120).data for request in requests]
    assert decode.refused == {}
    assert (decode.launches - launches, decode.replays - replays) == (3, 3)
    precision = read_precision(engine.provenance.precision)
    with Engine(device="cuda", graphs=False, **precision) as eager:
        assert [eager.submit(request).result(120).data for request in requests] == made


def test_many_shapes_drop_old_graphs_and_keep_the_bytes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = itertools.cycle([1, 1, 0])  # every third capture finds no room
    for cache in (engine._model.denoise._replay, engine._model.decode._replay):  # type: ignore[attr-defined]
        monkeypatch.setattr(cache, "_room", lambda: next(rooms))
        cache.drop()
    first = [ticket.result(120).data for ticket in engine.submit_all(REQUESTS)]
    for _ in range(2):
        assert [t.result(120).data for t in engine.submit_all(REQUESTS)] == first


def test_previews_are_small_pictures(engine: Engine) -> None:
    seen: list[Progress] = []
    ticket = engine.submit(replace(REQUESTS[0], steps=8, previews=3))
    ticket.on_progress(seen.append)
    pixels = ticket.result(120).pixels.astype(float)
    small = pixels.reshape(16, 8, 16, 8, 3).mean((1, 3))
    looks = [p.preview for p in seen if p.preview is not None]
    assert len(looks) == 3
    assert np.abs(looks[-1].astype(float) - small).mean() < 30


def test_spans_come_from_the_device_and_fit_the_whole(engine: Engine) -> None:
    image = engine.submit(REQUESTS[0]).result(120)
    assert engine.stats().clock == "device"
    stages = [span.stage for span in image.spans]
    assert stages.count("denoise") == image.recipe.steps
    end = max(span.start_ms + span.length_ms for span in image.spans)
    assert sum(span.length_ms for span in image.spans) <= 1.05 * end


def test_cancel_and_memory_return_to_the_baseline(engine: Engine) -> None:
    pictures(engine)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(10):
        ticket = engine.submit(replace(REQUESTS[0], steps=120))
        assert ticket.cancel()
        with pytest.raises(Cancelled):
            ticket.result(60)
    pictures(engine)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before + 2**20


def many(count: int) -> list[Request]:
    """Requests of five sizes, captions of many lengths, a third of them guided."""
    sizes = [(128, 128), (144, 96), (96, 144), (176, 96), (96, 176)]
    return [
        Request(
            prompt="a cat and " * (3 * (number % 16) + 1) + f"{number} stars",
            seed=number,
            width=sizes[number % 5][0],
            height=sizes[number % 5][1],
            guidance=2.0 if number % 3 == 0 else 0.0,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("precision", ["bf16", "fp8", FP8_ATTENTION])
def test_a_picture_in_any_company_equals_the_one_made_alone(precision: str) -> None:
    requests = many(24)
    with Engine(device="cuda", pack_tflop=1e3, **read_precision(precision)) as engine:
        alone = [engine.submit(request).result(120).pixels for request in requests]
        for _ in range(3):  # eager, recorded, replayed
            company = [t.result(120).pixels for t in engine.submit_all(requests)]
            ratios = [psnr(a, b) for a, b in zip(alone, company, strict=True)]
            print(precision, "company", round(min(ratios), 1))
            assert min(ratios) >= (45.0 if precision == "bf16" else 20.0)
        assert engine._model.denoise._replay.refused == {}  # type: ignore[attr-defined]


@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.get_device_capability()[0] != 9,
    reason="other GPUs pack only what is asked",
)
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_forwards_are_shared_under_load_only(precision: str) -> None:
    with Engine(device="cuda", precision=precision) as engine:
        for ticket in engine.submit_all(many(PACK_FROM - 1)):
            ticket.result(120)
        (device,) = engine.observe(Mark()).devices
        assert set(device.packs) == {1}
        for ticket in engine.submit_all(many(16)):
            ticket.result(120)
        (device,) = engine.observe(Mark()).devices
        assert max(device.packs) > 1


def test_deterministic_makes_the_same_bytes_in_any_company() -> None:
    requests = many(12)
    with Engine(device="cuda", deterministic=True, pack_tflop=1e3) as engine:
        alone = [engine.submit(request).result(120).data for request in requests]
        for _ in range(2):
            assert [t.result(120).data for t in engine.submit_all(requests)] == alone


@pytest.mark.parametrize("pack_tflop", [0.0, 1e3])
def test_mixed_requests_replay(pack_tflop: float) -> None:
    with Engine(device="cuda", precision="bf16", pack_tflop=pack_tflop) as engine:
        requests = many(400)
        for ticket in engine.submit_all(requests[:200]):
            ticket.result(120)
        caches = [
            engine._model.encode._replay,  # type: ignore[attr-defined]
            engine._model.denoise._replay,  # type: ignore[attr-defined]
            engine._model.decode._replay,  # type: ignore[attr-defined]
        ]
        before = [(cache.launches, cache.replays) for cache in caches]
        for ticket in engine.submit_all(requests[200:]):
            ticket.result(120)
        launches = sum(c.launches - b[0] for c, b in zip(caches, before, strict=True))
        replays = sum(c.replays - b[1] for c, b in zip(caches, before, strict=True))
        spent = sum(cache.num_bytes for cache in caches)
        print(f"pack_tflop {pack_tflop}: {replays / launches:.1%}, {spent / 2**20:.0f} MiB")
        assert replays >= 0.9 * launches
        assert spent <= 2 * 2**30
