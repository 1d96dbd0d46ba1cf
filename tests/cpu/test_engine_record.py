"""What the engine tells of its work: where all time goes, what ran for whom, at what cost."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from mezzotint.engine.balance import Balance
from mezzotint.engine.engine import Engine
from mezzotint.engine.graphs import GraphCache, GraphTally
from mezzotint.engine.pack import DenoisePack, EncodePack
from mezzotint.engine.record import CAUSES, Interval, Mark, Ring, picture_of
from mezzotint.engine.recorder import About, Recorder
from mezzotint.engine.stage import CudaClock, CudaMark
from mezzotint.engine.stats import picture_stages
from mezzotint.models.spec import StepRow
from mezzotint.types import Recipe, Request, Span

ABOUT = About("cpu", "fp32", "host", lambda: {"weights": 7})
RECIPE = Recipe(
    prompt="a cat",
    negative_prompt="",
    width=64,
    height=96,
    steps=2,
    guidance=0.0,
    guidance_rescale=0.0,
    guidance_truncation=1.0,
    seed=1,
)
ROW = StepRow(
    slot=0,
    width=64,
    height=96,
    prompt_tokens=5,
    negative_tokens=None,
    sigma=1.0,
    next_sigma=0.5,
    guidance=0.0,
    rescale=0.0,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def recorder(clock: Clock) -> Recorder:
    return Recorder(ABOUT, _now=clock)


def test_every_moment_has_one_cause() -> None:
    balance = Balance(0.0)
    balance.flight(1.0, 1)  # idle 0-1, host 1-2
    balance.ran("encode", 2.0, 3.0)
    balance.ran("denoise", 3.0, 5.0)
    balance.ran("decode", 4.0, 6.0)  # a second of it beside denoising
    balance.ran("file", 6.0, 6.5)
    balance.flight(7.0, -1)  # host 6.5-7, idle 7-8
    balance.settle(8.0)
    assert balance.seconds == {
        "denoise": 2.0,
        "encode": 1.0,
        "decode": 1.0,
        "file": 0.5,
        "host": 1.5,
        "idle": 2.0,
    }


def test_a_balance_settles_in_any_portions() -> None:
    def total(moments: list[float]) -> dict[str, float]:
        balance = Balance(0.0)
        balance.flight(0.5, 1)
        balance.ran("denoise", 1.0, 2.0)
        for moment in moments:
            balance.settle(moment)
        balance.ran("decode", 2.0, 3.0)
        balance.settle(4.0)
        return balance.seconds

    assert total([0.7, 1.5, 1.9]) == pytest.approx(total([]))


def test_time_is_settled_only_where_nothing_is_unknown() -> None:
    clock = Clock()
    record = recorder(clock)
    record.arrived(1, RECIPE, 0.5, 0.0)
    clock.now = 1.0
    pack = EncodePack((1,), ())
    record.launching(pack)
    clock.now = 5.0  # it runs, and nobody knows yet since when
    assert sum(record.observe(Mark()).devices[0].causes_s.values()) == 1.0
    record.ran(pack, Interval(2.0, 5.0), replayed=False)
    causes = record.observe(Mark()).devices[0].causes_s
    assert causes == dict.fromkeys(CAUSES, 0.0) | {"host": 2.0, "encode": 3.0}


def test_nothing_piles_up_when_nobody_watches() -> None:
    clock = Clock()
    record = recorder(clock)
    for number in range(5000):
        clock.now = number
        record.arrived(number, RECIPE, 0.5, clock.now)
        pack = DenoisePack((number,), (ROW,))
        record.launching(pack)
        record.ran(pack, Interval(number + 0.25, number + 0.75), replayed=False)
        record.ended(number, "cancelled")
    assert len(record._balance._events) < 1024
    assert len(record._runs.since(0)) <= 8192
    assert record.observe(Mark()).devices[0].causes_s["denoise"] == pytest.approx(2500, rel=0.01)


def test_a_run_says_for_whom_it_was_and_how_far_they_are() -> None:
    record = recorder(Clock())
    for request in (3, 4):
        record.arrived(request, RECIPE, 0.5, 0.0)
    for step in range(2):
        pack = DenoisePack((3, 4), (ROW, ROW))
        record.launching(pack)
        record.ran(pack, Interval(step, step + 0.5), replayed=step == 1)
    seen = record.observe(Mark())
    assert [run.replayed for run in seen.runs] == [False, True]
    assert [[(m.request, m.step) for m in run.members] for run in seen.runs] == [
        [(3, 1), (4, 1)],
        [(3, 2), (4, 2)],
    ]
    device = seen.devices[0]
    assert (device.packs, device.launches, device.replays) == (
        {2: 2},
        {"denoise": 2},
        {"denoise": 1},
    )
    assert record.observe(seen.mark).runs == ()


def test_a_reader_that_is_too_slow_hears_how_much_it_missed() -> None:
    ring: Ring[int] = Ring(3)
    for number in range(5):
        ring.add(number)
    assert (ring.since(0), ring.since(4), ring.since(5)) == ((2, 3, 4), (4,), ())


def test_a_launch_is_a_replay_when_all_of_it_was() -> None:
    tally = GraphTally(2**31)
    first, second = tally.make(), tally.make()
    assert isinstance(first, GraphCache)
    before = tally.count()
    assert not tally.only_replays_since(before)  # nothing ran: all from the cache of captions
    first.launches, first.replays = 2, 2
    assert tally.only_replays_since(before)
    second.launches = 1
    assert not tally.only_replays_since(before)


def test_gaps_between_stages_are_waiting() -> None:
    spans = (Span("queue", 0, 2), Span("encode", 2, 1), Span("denoise", 5, 4), Span("file", 9.5, 1))
    stages = picture_stages(spans)
    assert stages == {"queue": 2, "encode": 1, "denoise": 4, "file": 1, "wait": 2.5}
    assert sum(stages.values()) == 10.5
    assert picture_of(1, "failed", RECIPE, 0.5, spans, (0, 1)).stages == {}


def test_the_engine_tells_all_it_does() -> None:
    request = Request(prompt="a red apple", width=96, height=96, steps=3)
    with Engine(device="cpu", threads=1) as engine:
        started = time.monotonic()
        for ticket in engine.submit_all([request, request]):
            ticket.result(120)
        seen = engine.observe()
        elapsed = time.monotonic() - started
    counts = Counter((run.stage, m.request) for run in seen.runs for m in run.members)
    assert counts == {
        (stage, r): count
        for r in (0, 1)
        for stage, count in (("encode", 1), ("denoise", 3), ("decode", 1), ("file", 1))
    }
    assert all(run.start_s < run.end_s for run in seen.runs)
    assert all((m.width, m.height, m.steps) == (96, 96, 3) for r in seen.runs for m in r.members)
    device = seen.devices[0]
    working = sum(device.causes_s[cause] for cause in CAUSES if cause != "idle")
    assert working == pytest.approx(elapsed, abs=0.05)
    assert device.causes_s["denoise"] == pytest.approx(device.busy_s["denoise"], rel=0.01)
    assert device.memory_bytes["weights"] > 10e6
    assert device.memory_bytes["slots"] > 1e6
    for picture in seen.pictures:
        measured_ms = (picture.ended_s - picture.submitted_s) * 1e3
        assert sum(picture.stages.values()) == pytest.approx(measured_ms, rel=0.05)


def test_taking_note_costs_next_to_nothing() -> None:
    record = recorder(Clock())
    for request in range(8):
        record.arrived(request, RECIPE, 0.5, 0.0)
    pack = DenoisePack(tuple(range(8)), (ROW,) * 8)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(500):
            record.launching(pack)
            record.ran(pack, Interval(0.0, 1.0), replayed=True)
        best = min(best, (time.perf_counter() - start) / 500)
    assert best < 200e-6  # 1 % of a step of 20 ms; about 20 us on an idle core


class FakeEvent:
    """A device event; differences come in float32, as CUDA gives them."""

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def elapsed_time(self, later: FakeEvent) -> float:
        return float(np.float32((later.at_s - self.at_s) * 1e3))


def test_a_device_clock_stays_exact_for_days() -> None:
    host = Clock()
    drift = 1 + 30e-6  # of the device's clock against the host's

    def make() -> CudaMark:
        return CudaMark(FakeEvent(host.now * drift), host.now)  # type: ignore[arg-type]

    clock = CudaClock(make, now=host)
    for now in (1.0, 3600.0, 86_400.0, 7 * 86_400.0):
        host.now = now
        mark = clock.mark()
        begin, end = FakeEvent((now + 0.010) * drift), FakeEvent((now + 0.0305) * drift)
        ran = mark.interval(begin, end)  # type: ignore[arg-type]
        assert ran.end - ran.start == pytest.approx(0.0205, abs=1e-6)
        assert ran.start == pytest.approx(now + 0.010, abs=1e-4)
    assert clock.mark() is mark
