"""Medians over the newest pictures, ready whenever they are asked for."""

from __future__ import annotations

import random
from collections import deque
from statistics import median

import pytest

from mezzotint.engine import stats
from mezzotint.engine.stats import Stats, stage_totals
from mezzotint.types import Span


def spans(rng: random.Random) -> list[Span]:
    """A picture's; lengths repeat, and not every picture has every stage."""
    stages = ["encode"] * rng.randrange(2) + ["denoise"] * rng.randrange(1, 4) + ["decode"]
    return [Span(stage, 0.0, float(rng.randrange(9))) for stage in stages]


def test_medians_are_those_of_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_HISTORY", 5)
    ours, newest = Stats(), deque[dict[str, float]](maxlen=5)
    rng = random.Random(0)
    assert ours.stage_ms() == {}
    for _ in range(200):
        picture = spans(rng)
        ours.record("finished", picture)
        newest.append(stage_totals(picture))
        expected = {
            stage: median(totals[stage] for totals in newest if stage in totals)
            for stage in {stage for totals in newest for stage in totals}
        }
        assert ours.stage_ms() == expected
    assert ours.outcomes == {"finished": 200}


def test_what_was_not_finished_counts_and_has_no_times() -> None:
    ours = Stats()
    ours.record("failed", [Span("denoise", 0.0, 5.0)])
    ours.record("cancelled")
    assert (dict(ours.outcomes), ours.stage_ms()) == ({"failed": 1, "cancelled": 1}, {})
