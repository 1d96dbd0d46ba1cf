"""What a stage's watcher tells late changes nothing: a request's launches land in their order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from mezzotint import Engine, Request
from mezzotint.engine.stage import HostStage, Interval, Launch, Stage


@dataclass(frozen=True)
class Late:
    """A launch that has run and is heard of some time later."""

    launch: Launch
    late_s: float

    def done(self) -> bool:
        return False

    def wait(self) -> Interval:
        time.sleep(self.late_s)
        return self.launch.wait()


@dataclass(frozen=True)
class LateStage:
    late_s: float

    def launch(self, work: Callable[[], None], after: tuple[Launch, ...]) -> Launch:
        return Late(HostStage().launch(work, ()), self.late_s)


@pytest.mark.parametrize("late_stage", ["encode", "denoise", "decode"])
def test_a_late_stage_breaks_nothing(late_stage: str) -> None:
    requests = [Request(prompt="a red apple", seed=seed, steps=2) for seed in range(2)]
    with Engine(device="cpu") as engine:
        expected = [ticket.result(60).data for ticket in engine.submit_all(requests)]
        stages: dict[str, Stage] = engine._loop._executor._stages  # type: ignore[assignment]
        for name in stages:
            stages[name] = LateStage(0.5 if name == late_stage else 0.0)
        tickets = engine.submit_all([*requests, replace(requests[0], steps=9)])
        tickets[-1].cancel()
        assert [ticket.result(60).data for ticket in tickets[:-1]] == expected
        assert engine.generate("a red apple", seed=0, steps=2)[0].data == expected[0]
