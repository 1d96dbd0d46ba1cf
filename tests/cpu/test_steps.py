"""Adaptive steps: the policies and the meter alone, then whole days in simulated time."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.environment import ROOT
from bench.simulation import Service, Simulation
from bench.step_rules import AsAsked, ByUtilisation
from bench.steps import POLICIES, measure, measured_service
from bench.traces.make import TRACES, arrivals, load
from mezzotint.jobs.steps import ByQueue, LoadMeter, Moment
from mezzotint.types import StepRange

BOUNDS = StepRange(20, 60)


def moment(now_s: float = 0.0, queue_s: float = 0.0, busy: float = 0.0) -> Moment:
    return Moment(now_s=now_s, queue_s=queue_s, busy=busy)


def given_by(policy: ByQueue, *moments: Moment) -> list[int]:
    return [policy.choose(BOUNDS, 40, each) for each in moments]


@given(
    st.integers(1, 100),
    st.integers(0, 100),
    st.integers(1, 200),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 1e4), st.floats(0, 1)), min_size=1),
)
def test_no_policy_ever_leaves_the_bounds(
    least: int, more: int, asked: int, moments: list[tuple[float, float, float]]
) -> None:
    bounds = StepRange(least, least + more)
    for policy in (AsAsked(), ByUtilisation(), ByQueue(10.0)):
        now_s = 0.0
        for passed_s, queue_s, busy in moments:
            now_s += passed_s
            steps = policy.choose(bounds, asked, moment(now_s, queue_s, busy))
            assert bounds.min <= steps <= bounds.max


def test_an_idle_device_gives_the_most_and_a_long_wait_the_fewest() -> None:
    policy = ByQueue(10.0)
    assert given_by(policy, moment(), moment(1, 10), moment(2, 15), moment(3, 20)) == [
        60,
        60,
        40,
        20,
    ]


@pytest.mark.parametrize(("busy", "seconds"), [(0.5, 30), (1.0, 60)])
def test_steps_rise_slowly_and_twice_as_slowly_without_rest(busy: float, seconds: int) -> None:
    policy = ByQueue(10.0, rise_s=30.0)
    steps = given_by(policy, moment(0, 20), *(moment(i, 0.0, busy) for i in range(1, seconds + 1)))
    assert (steps[0], steps[-1]) == (20, 60)
    assert steps[-3] < 60
    assert all(0 <= b - a <= 2 for a, b in pairwise(steps))


def test_a_wait_that_wavers_less_than_half_a_target_changes_nothing() -> None:
    policy = ByQueue(10.0)
    wavering = [moment(second, 15 - 4.9 * (second % 2)) for second in range(1, 100)]
    assert set(given_by(policy, moment(0, 15), *wavering)) == {40}
    assert given_by(policy, moment(200, 9))[0] > 40


def test_the_rule_by_utilisation_is_the_one_we_compare_with() -> None:
    policy = ByUtilisation()
    chosen = [policy.choose(BOUNDS, 40, moment(busy=busy)) for busy in (0.9, 0.6, 0.3)]
    assert chosen == [28, 40, 48]
    assert policy.choose(BOUNDS, 24, moment(busy=0.9)) == 20
    assert policy.choose(BOUNDS, 55, moment(busy=0.3)) == 60


def test_the_meter_knows_wait_and_busy_share() -> None:
    meter = LoadMeter()
    assert meter.moment(0, 0.0, 0.0) == moment()
    meter.begin(100.0)
    meter.made(102.0)
    assert meter.moment(2, 1.0, 102.0).queue_s == pytest.approx(2 * 2.0)
    assert meter.moment(2, 1.5, 103.0).busy == pytest.approx(1.5 / 103)
    assert meter.moment(2, 6.5, 108.0).busy == pytest.approx(6.5 / 108)
    assert meter.moment(2, 16.5, 118.0).busy == pytest.approx(1.0)  # the last ten seconds alone
    assert meter.moment(0, 16.5, 119.0).queue_s == 0.0


def test_the_meter_forgets_a_runner_that_was_replaced() -> None:
    meter = LoadMeter()
    meter.moment(1, 50.0, 1.0)
    meter.moment(1, 59.0, 10.0)
    assert meter.moment(1, 0.0, 11.0).busy == 0.0
    assert meter.moment(1, 0.5, 12.0).busy == pytest.approx(0.5)


def test_the_traces_are_what_their_script_makes() -> None:
    for name, (rate, length) in TRACES.items():
        assert load(name) == arrivals(rate, length)


def test_the_simulated_device_keeps_to_its_capacity() -> None:
    service = replace(measured_service(), bounds=StepRange(40, 40))
    outcome = Simulation(service, AsAsked()).run([0.0] * 10)
    ends = [made.ended_s for made in outcome.made]
    gaps = [b - a for a, b in pairwise(ends)]
    assert gaps == pytest.approx([service.picture_s] * 9, rel=0.01)
    full = Simulation(service, AsAsked()).run([0.0] * 70)
    assert (len(full.made), full.refused) == (64, 6)


@cache
def _service() -> Service:
    return measured_service()


@cache
def _measured(trace: str, policy: str) -> dict[str, float]:
    arrivals_s = [unit * _service().picture_s / 1.5 for unit in load(trace)]
    return measure(Simulation(_service(), POLICIES[policy]()).run(arrivals_s))


@pytest.mark.parametrize("trace", ["burst", "day"])
def test_ours_beats_both_at_half_as_much_again(trace: str) -> None:
    ours, rule, none = (_measured(trace, name) for name in ("queue", "utilisation", "none"))
    assert ours["p95_s"] < rule["p95_s"] < none["p95_s"]
    assert ours["mean_steps"] > rule["mean_steps"]
    assert ours["goodput"] > rule["goodput"] > none["goodput"]
    assert ours["turns"] < 0.15


def test_under_a_lasting_overload_ours_alone_stays_within_its_wait() -> None:
    """More steps than the rule's are impossible here: the rule's wait grows as long as it lasts."""
    ours, rule = _measured("steady", "queue"), _measured("steady", "utilisation")
    assert ours["p95_s"] < rule["p95_s"] / 3
    assert ours["mean_steps"] * 1.5 <= 40 * 1.02  # what the device can do
    assert rule["mean_steps"] * 1.5 > 40 * 1.02


def test_the_committed_rows_are_of_these_policies() -> None:
    """A change of policy, meter or scheduler that moves the figures must write new rows."""
    lines = (ROOT / "bench/results/steps.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for trace, policy in (("day", "queue"), ("burst", "utilisation")):
        (row,) = [r for r in rows if (r["trace"], r["load"], r["policy"]) == (trace, 1.5, policy)]
        for field, value in _measured(trace, policy).items():
            assert row[field] == pytest.approx(value, rel=1e-6), field
