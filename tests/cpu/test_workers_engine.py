"""The real engine behind a pool: the same pictures, byte for byte."""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from mezzotint.config import make
from mezzotint.engine.capacity import Capacity
from mezzotint.engine.engine import Engine
from mezzotint.engine.record import Mark
from mezzotint.types import Progress, Request, RequestError
from mezzotint.workers.open import capacity, launches, open_pool, spec_for


def test_a_pool_makes_the_engines_pictures() -> None:
    options = {"device": "cpu", "threads": 1}
    request = Request(prompt="a red apple", seed=5, steps=2, previews=1)
    with open_pool(make(**options)) as pool, Engine(**options) as engine:
        ticket = pool.submit(request)
        seen: list[Progress] = []
        ticket.on_progress(seen.append)
        (expected,) = [engine.submit(request).result(120)]
        image = ticket.result(120)
        assert image.data == expected.data
        assert np.array_equal(image.pixels, expected.pixels)
        assert (image.recipe, image.provenance) == (expected.recipe, expected.provenance)
        assert (pool.spec.name, pool.provenance) == (engine.spec.name, engine.provenance)
        assert pool.largest == engine.largest
        assert [p.stage for p in seen] == ["encode", "denoise", "denoise", "decode", "file"]
        assert seen[1].preview is not None
        with pytest.raises(RequestError, match="shorten"):
            pool.submit(Request(prompt="apple " * 5000)).result(120)


def test_a_pool_tells_how_far_the_weights_are_read() -> None:
    heard: list[tuple[int, int]] = []
    with Engine(device="cpu", threads=1, on_load=lambda *each: heard.append(each)):
        pass
    done, totals = zip(*heard, strict=True)
    assert list(done) == sorted(set(done))
    assert set(totals) == {done[-1]}
    assert totals[0] > 30e6  # as they are stored, nearly all of the files
    with open_pool(make(device="cpu", threads=1)) as pool:
        assert 0 <= pool.loaded <= 1
        assert pool.provenance
        assert pool.loaded == 1


def test_random_weights_have_their_models_limits() -> None:
    small, large = (spec_for(make(random_weights=name)) for name in (None, "z-image-turbo"))
    assert (small.name, large.name) == ("mezzotint-small", "Z-Image-Turbo")
    assert large.limits.max_pixels > small.limits.max_pixels


def test_every_gpu_gets_a_worker_that_sees_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("mezzotint.workers.gpus.has_driver", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [each.environment for each in launches(make())] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7f")
    assert [each.environment["CUDA_VISIBLE_DEVICES"] for each in launches(make())] == [
        "5",
        "GPU-7f",
    ]
    assert [each.environment for each in launches(make(device="cpu"))] == [{}]


def test_a_worker_is_given_what_keeps_it_busy_and_no_more() -> None:
    assert capacity(make(), gpus=1) == Capacity(4, small=10, small_tflop=30.0)
    assert capacity(make(), gpus=2) == Capacity(8, small=20, small_tflop=30.0)
    assert capacity(make(slots=1), gpus=1) == Capacity(2, small=3, small_tflop=30.0)
    assert capacity(make(), gpus=0) == Capacity(4)
    assert capacity(make(pack_tflop=20.0), gpus=0) == Capacity(4, small=10, small_tflop=10.0)
    for alone in (make(deterministic=True), make(pack_tflop=0.0), make(precision="fp32")):
        assert capacity(alone, gpus=2) == Capacity(8)


def test_a_pool_tells_what_its_workers_did() -> None:
    request = Request(prompt="a red apple", width=96, height=96, steps=2)
    with open_pool(make(device="cpu", threads=1)) as pool:
        tickets = pool.submit_all([request] * 2)
        for ticket in tickets:
            ticket.result(120)
        pool.close()  # the worker's last report comes before its end
        seen = pool.observe(Mark())
    assert {m.request for run in seen.runs for m in run.members} == {t.id for t in tickets}
    assert [run.stage for run in seen.runs].count("denoise") == 4
    (device,) = seen.devices
    assert (device.device, device.name, device.clock) == (0, "cpu", "host")
    launches = dict(device.launches)
    assert launches.pop("encode") in (1, 2)  # the second may come while the first is encoded
    assert launches == {"denoise": 4, "decode": 2, "file": 2}
    for picture in seen.pictures:
        measured_ms = (picture.ended_s - picture.submitted_s) * 1e3
        assert sum(picture.stages.values()) == pytest.approx(measured_ms, rel=0.05)
    assert pool.observe(seen.mark).runs == ()


def test_shown_stages_are_the_time_that_was_measured() -> None:
    request = Request(prompt="a red apple", width=96, height=96, steps=1)
    measured_s: dict[int, float] = {}

    def note(id: int, start: float) -> None:
        measured_s[id] = time.monotonic() - start

    with open_pool(make(device="cpu", threads=1)) as pool:
        pool.submit(request).result(120)  # the weights are loaded
        for _ in range(8):  # four at once: they wait for each other, but not for long
            start = time.monotonic()
            for ticket in (tickets := pool.submit_all([request] * 4)):
                ticket.future.add_done_callback(lambda _, id=ticket.id, at=start: note(id, at))
            for ticket in tickets:
                ticket.result(120)
        pictures = [each for each in pool.observe(Mark()).pictures if each.request in measured_s]
    assert len(pictures) == 32
    shares = [sum(each.stages.values()) / 1e3 / measured_s[each.request] for each in pictures]
    # The median: a neighbour of this test may wake a thread late, which no stage can know of.
    assert statistics.median(shares) == pytest.approx(1.0, rel=0.05)
