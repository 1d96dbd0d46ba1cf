"""The line in front of a runner: who is next, for how long, and what becomes of it."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from fake_engine import SPEC, FakeConfig, FakeEngine
from hypothesis import given
from hypothesis import strategies as st
from serving import until

from mezzotint.engine.capacity import Capacity
from mezzotint.jobs.dispatch import Dispatcher, Supply
from mezzotint.jobs.line import Entry, Line
from mezzotint.jobs.rate import Rate
from mezzotint.jobs.room import QueueFullError, share_of
from mezzotint.jobs.ticket import Terms
from mezzotint.models.recipe import resolve
from mezzotint.types import Cancelled, Request, RequestError

WAIT = 30.0
ONE = Capacity(1)


def line_of(*entries: Entry) -> Line:
    line = Line()
    for entry in entries:
        line.add(entry)
    return line


def entry(id: int, key_id: str = "a", priority: int = 0, cost: float = 1.0, **more: float) -> Entry:
    return Entry(id=id, key_id=key_id, priority=priority, cost=cost, **more)


def drained(line: Line) -> list[int]:
    taken = []
    while (each := line.take()) is not None:
        taken.append(each.id)
    return taken


def test_priority_then_fair_share_then_deadline_then_age() -> None:
    assert drained(line_of(entry(0), entry(1, priority=1), entry(2, priority=-1))) == [1, 0, 2]
    assert drained(line_of(entry(0), entry(1), entry(2, "b"))) == [0, 2, 1]
    assert drained(line_of(entry(0), entry(1, deadline=5.0), entry(2, deadline=4.0))) == [2, 1, 0]


def test_a_share_is_of_work_and_not_of_pictures() -> None:
    large = [entry(i, "large", cost=4.0) for i in range(4)]
    small = [entry(10 + i, "small", cost=1.0) for i in range(8)]
    assert Counter(id < 10 for id in drained(line_of(*large, *small))[:5]) == {True: 1, False: 4}


def test_one_picture_at_a_time_is_fair_too() -> None:
    """The light key waits for one picture of the heavy one, however many that has."""
    line = line_of(*(entry(i, "heavy") for i in range(50)))
    assert [line.take() for _ in range(20)]
    line.add(entry(99, "light"))
    first, second = line.take(), line.take()
    assert first is not None
    assert second is not None
    assert 99 in (first.id, second.id)


def test_a_pause_saves_nothing_up() -> None:
    line = line_of(*(entry(i, "busy") for i in range(30)))
    line.add(entry(100, "away"))
    for _ in range(20):
        line.take()
    for i in range(10):
        line.add(entry(101 + i, "away"))
    next_four = [line.take() for _ in range(4)]
    assert sorted(each.key_id for each in next_four if each) == ["away", "away", "busy", "busy"]


def test_what_is_given_back_is_next_again() -> None:
    line = line_of(entry(0), entry(1), entry(2, "b"))
    first = line.take()
    assert first is not None
    line.give_back(first)
    assert drained(line) == [0, 2, 1]
    assert not line.remove(0)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-1, 1), st.integers(1, 9), st.integers(0, 3)),
        max_size=40,
    ),
    st.integers(0, 40),
)
def test_the_order_that_is_told_is_the_order_that_comes(
    rows: list[tuple[str, int, int, int]], taken: int
) -> None:
    line = line_of(
        *(
            entry(i, key, priority, float(cost), deadline=float(deadline))
            for i, (key, priority, cost, deadline) in enumerate(rows)
        )
    )
    for _ in range(taken):
        line.take()
    expected = [each.id for each in line.order()]
    assert drained(line) == expected
    assert len(line) == 0


def test_a_rate_is_of_work_whoever_does_it() -> None:
    rate = Rate()
    assert rate.seconds(5.0) is None
    rate.begin(100.0)
    for i in range(1, 9):  # two workers: two pictures of 3 TFLOP every 2 s
        rate.finished(3.0, 100.0 + 2 * i)
        rate.finished(3.0, 100.0 + 2 * i)
    assert rate.seconds(30.0) == pytest.approx(10.0, rel=0.1)


class Room:
    """A dispatcher over a fake engine."""

    def __init__(self, bound: int = 8, capacity: Capacity = ONE, step_s: float = 0.01) -> None:
        self.engine = FakeEngine(FakeConfig(step_s=step_s))
        self.counted: list[str] = []
        supply = Supply(runner=self.engine, count_tokens=self.count, capacity=capacity)
        self.line = Dispatcher(supply, lambda: bound)

    def count(self, prompt: str) -> int:
        self.counted.append(prompt)
        if len(prompt) > 500:
            raise RequestError("too long")
        return 1

    def close(self) -> None:
        self.line.close()
        self.engine.close()


def request(seed: int = 1, **more: object) -> Request:
    return Request(**{"prompt": "a", "seed": seed, "steps": 2} | more)  # type: ignore[arg-type]


def test_pictures_are_let_in_together_or_not_at_all() -> None:
    room = Room(bound=3)
    first = room.line.admit([request(1), request(2)], Terms())
    with pytest.raises(QueueFullError, match="3 is its limit") as caught:
        room.line.admit([request(3), request(4)], Terms())
    assert caught.value.wait_s == 1  # nothing is known yet
    with pytest.raises(RequestError, match="too long"):
        room.line.admit([request(5, prompt="x" * 501)], Terms())
    with pytest.raises(RequestError, match="multiple"):
        room.line.admit([request(5, width=65, height=64)], Terms())
    assert room.line.pending == 2
    room.line.enter(first)
    assert [place.result(WAIT).recipe.seed for place in first] == [1, 2]
    assert (room.line.pending, room.line.num_waiting) == (0, 0)
    assert len(room.line.admit([request(3)] * 9, Terms(), bounded=False)) == 9
    assert set(room.counted) == {"a", "", "x" * 501}
    room.close()


def test_a_quarter_of_the_room_is_left_to_others() -> None:
    room = Room(bound=8)
    held = room.line.admit([request(i) for i in range(6)], Terms(key_id="greedy"))
    with pytest.raises(QueueFullError, match=r"6 pictures of this key .* 6 is a key's limit"):
        room.line.admit([request(9)], Terms(key_id="greedy"))
    held += room.line.admit([request(7)], Terms(key_id="modest"))
    with pytest.raises(QueueFullError, match="7 pictures are in the queue and 8 is its limit"):
        room.line.admit([request(8), request(9)], Terms(key_id="modest"))
    held += room.line.admit([request(8)], Terms())
    room.line.leave(held[:3])
    room.line.enter(held[3:])
    for place in held[3:]:
        place.result(WAIT)
    assert room.line.pending == 0
    room.line.leave(room.line.admit([request(i) for i in range(8)], Terms()))  # the operator's own
    assert [share_of(key, bound) for key, bound in (("k", 1), ("k", 64), ("", 64))] == [1, 48, 64]
    room.close()


def test_the_wait_is_told_from_what_pictures_cost() -> None:
    room = Room(bound=2, step_s=0.05)
    for place in room.line.admit([request(1, steps=10), request(2, steps=10)], Terms()):
        room.line.enter([place])
        place.result(WAIT)  # half a second each
    held = room.line.admit([request(3, steps=40), request(4, steps=40)], Terms())
    room.line.enter(held)
    with pytest.raises(QueueFullError) as caught:
        room.line.admit([request(5)] * 2, Terms())
    assert 3 <= caught.value.wait_s <= 30  # 4 s on an idle machine
    room.close()
    assert all(isinstance(place.future.exception(WAIT), Cancelled) for place in held)


def test_a_more_urgent_picture_goes_first_and_others_share() -> None:
    room = Room(bound=64)
    blocker = room.line.admit([request(0, steps=50)], Terms())
    room.line.enter(blocker)
    while room.line.num_waiting:
        time.sleep(0.001)
    heavy = room.line.admit([request(i) for i in range(1, 6)], Terms(key_id="heavy"))
    light = room.line.admit([request(7)], Terms(key_id="light"))
    urgent = room.line.admit([request(8)], Terms(key_id="heavy", priority=5))
    for places in (heavy, light, urgent):
        room.line.enter(places)
    ranks = room.line.outlook()
    assert ranks[urgent[0].id].position == 1
    assert ranks[light[0].id].position in (2, 3)
    assert ranks[heavy[-1].id].position == 7
    for place in (*heavy, *light, *urgent):
        place.result(WAIT)
    assert [ticket.recipe.seed for ticket in room.engine.tickets][:2] == [0, 8]
    room.close()


def test_waiting_counts_as_waiting_in_the_spans() -> None:
    room = Room(step_s=0.05)
    places = room.line.admit([request(1, steps=6), request(2)], Terms())
    room.line.enter(places)
    spans = places[1].result(WAIT).spans
    assert (spans[0].stage, spans[0].start_ms) == ("queue", 0.0)
    assert spans[0].length_ms >= 250
    assert spans[1].start_ms >= spans[0].length_ms
    room.close()


def test_large_pictures_wait_in_the_line_and_small_ones_where_they_share_forwards() -> None:
    capacity = Capacity(2, small=4, small_tflop=30.0)
    assert capacity.has_room([])
    assert capacity.has_room([50.0])
    assert not capacity.has_room([50.0, 12.0, 50.0])
    assert capacity.has_room([50.0, 12.0, 12.0])  # one large picture holds no small ones up
    assert not capacity.has_room([50.0, 12.0, 12.0, 12.0])
    assert capacity.has_room([12.0, 30.0, 12.0])
    assert not capacity.has_room([12.0] * 4)
    assert not Capacity(2).has_room([0.1, 0.1])
    assert capacity.times(3) == Capacity(6, small=12, small_tflop=30.0)


def test_a_runner_is_given_more_small_pictures_than_large_ones() -> None:
    small = SPEC.cost(resolve(request(), SPEC))
    room = Room(capacity=Capacity(1, small=3, small_tflop=small), step_s=0.2)
    places = room.line.admit([request(i) for i in range(5)], Terms())
    room.line.enter(places)
    until(lambda: room.line.num_waiting == 2)
    assert room.line.pending == 5
    for place in places:
        place.result(WAIT)
    large = room.line.admit([request(i, width=512, height=512) for i in range(2)], Terms())
    room.line.enter(large)
    until(lambda: room.line.num_waiting == 1)
    assert [place.result(WAIT).recipe.width for place in large] == [512, 512]
    room.close()


def test_cancels_at_random_leave_nothing_behind() -> None:
    room = Room(bound=200, capacity=Capacity(3), step_s=0.002)
    rng = random.Random(5)
    places = []
    for i in range(60):
        places += room.line.admit([request(i)], Terms(key_id=str(i % 3), priority=i % 2))
        room.line.enter(places[-1:])
        if rng.random() < 0.5:
            rng.choice(places).cancel()
        if rng.random() < 0.1:
            time.sleep(0.01)
    for place in places:
        error = place.future.exception(WAIT)
        assert error is None or isinstance(error, Cancelled)
    assert (room.line.pending, room.line.num_waiting) == (0, 0)
    room.close()
