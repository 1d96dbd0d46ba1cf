"""The scheduler alone: who steps with whom, and that slots and limits hold whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.engine.cost import limits
from mezzotint.engine.pack import DecodePack, DenoisePack, EncodePack, Pack
from mezzotint.engine.scheduler import Limits, Scheduler, Work
from mezzotint.types import Recipe


def work(
    id: int, steps: int = 2, cost: float = 1.0, guidance: float = 0.0, width: int = 128
) -> Work:
    recipe = Recipe(
        prompt="x",
        negative_prompt="",
        width=width,
        height=128,
        steps=steps,
        guidance=guidance,
        guidance_rescale=0.0,
        guidance_truncation=0.6,
        seed=id,
    )
    return Work(
        id=id,
        recipe=recipe,
        prompt_ids=(1, 2, 3),
        negative_ids=(1, 2) if guidance else None,
        sigmas=tuple(1 - i / steps for i in range(steps + 1)),
        signature=(width,),
        cost=cost,
    )


def drain(scheduler: Scheduler) -> list[Pack]:
    """Run every pack to its end, in order, until nothing is left."""
    ran: list[Pack] = []
    while packs := scheduler.tick():
        for pack in packs:
            scheduler.complete(pack)
            ran.append(pack)
    return ran


def test_imports_no_torch() -> None:
    code = "import sys, mezzotint.engine.scheduler; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_request_runs_encode_steps_decode() -> None:
    scheduler = Scheduler(Limits(slots=2))
    scheduler.submit(work(7, steps=3))
    ran = drain(scheduler)
    assert [pack.stage for pack in ran] == ["encode", "denoise", "denoise", "denoise", "decode"]
    assert [(p.rows[0].sigma, p.rows[0].next_sigma) for p in ran if isinstance(p, DenoisePack)] == [
        (1.0, 1 - 1 / 3),
        (1 - 1 / 3, 1 - 2 / 3),
        (1 - 2 / 3, 0.0),
    ]
    firsts = [pack.rows[0].first for pack in ran if isinstance(pack, DenoisePack)]
    assert firsts == [True, False, False]
    assert scheduler.num_running == 0


def test_packs_small_requests_and_prefers_equal_shapes() -> None:
    scheduler = Scheduler(Limits(slots=8, pack_tflop=3.0))
    for id, width in ((0, 128), (1, 256), (2, 128), (3, 128)):
        scheduler.submit(work(id, width=width))
    encode = scheduler.tick()[0]
    scheduler.complete(encode)
    packs = [pack for pack in scheduler.tick() if isinstance(pack, DenoisePack)]
    # The first tick's step led alone (nobody was encoded); now the budget of 3 TFLOP fills up.
    assert packs[0].requests == (0, 2, 3)


def test_requests_share_forwards_only_while_many_are_in_hand() -> None:
    scheduler = Scheduler(Limits(slots=3, pack_tflop=3.0, pack_from=4))
    for id in range(5):
        scheduler.submit(work(id, steps=3))
    order = [pack.requests for pack in drain(scheduler) if isinstance(pack, DenoisePack)]
    # Five and then four are in hand: three share. Of the last three, one that began in company and
    # those that never had any end alone, in their order.
    assert order[1:3] == [(0, 1, 2), (0, 1, 2)]
    steps = Counter(request for pack in order for request in pack)
    assert steps == dict.fromkeys(range(5), 3)
    assert all(len(pack) == 1 for pack in order[-6:])


@pytest.mark.parametrize(
    ("precision", "capability", "options", "expected"),
    [
        ("bf16", 9, {}, Limits(slots=8, pack_tflop=60.0, pack_from=6)),
        ("fp8", 9, {}, Limits(slots=8, pack_tflop=60.0, pack_from=6)),
        ("bf16", 8, {}, Limits(slots=8)),
        ("fp32", None, {}, Limits(slots=8)),
        ("fp32", None, {"asked": 2.0}, Limits(slots=8, pack_tflop=2.0)),
        ("fp8", 9, {"asked": 0.0}, Limits(slots=8)),
        ("fp8", 9, {"asked": 90.0}, Limits(slots=8, pack_tflop=90.0)),
        ("fp8", 9, {"asked": 90.0, "deterministic": True}, Limits(slots=8)),
    ],
)
def test_what_is_packed(
    precision: str, capability: int | None, options: dict[str, Any], expected: Limits
) -> None:
    options = {"deterministic": False, "asked": None} | options
    assert limits(8, precision, capability, **options) == expected


def test_few_slots_are_no_reason_never_to_pack() -> None:
    few = limits(2, "bf16", 9, deterministic=False, asked=None)
    assert few == Limits(slots=2, pack_tflop=60.0, pack_from=4)


def test_without_a_packing_budget_requests_step_alone_in_order() -> None:
    scheduler = Scheduler(Limits(slots=8, pack_tflop=0.0))
    for id in range(3):
        scheduler.submit(work(id))
    order = [pack.requests for pack in drain(scheduler) if isinstance(pack, DenoisePack)]
    assert order == [(0,), (0,), (1,), (1,), (2,), (2,)]


def test_runs_at_most_two_steps_ahead() -> None:
    scheduler = Scheduler(Limits(slots=1, depth=2))
    scheduler.submit(work(0, steps=5))
    launched = [pack for _ in range(5) for pack in scheduler.tick()]
    assert [pack.stage for pack in launched] == ["encode", "denoise", "denoise"]


def test_guidance_stops_at_its_truncation() -> None:
    scheduler = Scheduler(Limits(slots=1))
    scheduler.submit(work(0, steps=4, guidance=2.0))
    rows = [pack.rows[0] for pack in drain(scheduler) if isinstance(pack, DenoisePack)]
    # times 0, .25, .5, .75 against a truncation of 0.6
    assert [row.negative_tokens for row in rows] == [2, 2, 2, None]


def test_a_truncation_at_the_start_leaves_the_first_step_guided() -> None:
    scheduler = Scheduler(Limits(slots=1))
    at_once = work(0, steps=3, guidance=2.0)
    recipe = replace(at_once.recipe, guidance_truncation=0.0)
    assert recipe.guided
    scheduler.submit(replace(at_once, recipe=recipe))
    rows = [pack.rows[0] for pack in drain(scheduler) if isinstance(pack, DenoisePack)]
    assert [row.negative_tokens for row in rows] == [2, None, None]


def test_a_waiting_request_is_dropped_at_once() -> None:
    scheduler = Scheduler(Limits(slots=1))
    scheduler.submit(work(0))
    assert scheduler.drop(0)
    assert scheduler.tick() == ()


def test_a_running_request_gives_its_slot_back_when_its_packs_end() -> None:
    scheduler = Scheduler(Limits(slots=1))
    scheduler.submit(work(0))
    encode, step = scheduler.tick()
    assert not scheduler.drop(0)
    scheduler.submit(work(1))
    assert scheduler.tick() == ()  # the only slot is still in use
    assert scheduler.complete(encode).dropped == ()
    assert scheduler.complete(step).dropped == (0,)
    assert [pack.requests for pack in scheduler.tick()] == [(1,), (1,)]


def test_a_failed_pack_drops_its_requests_only() -> None:
    scheduler = Scheduler(Limits(slots=2))
    scheduler.submit(work(0))
    encode = scheduler.tick()[0]
    scheduler.submit(work(1))
    assert scheduler.fail(encode) == (0,)
    assert 1 in {request for pack in drain(scheduler) for request in pack.requests}


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.floats(0.1, 4.0), st.sampled_from([0.0, 2.0])),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 4),
    st.floats(0.0, 6.0),
    st.integers(0, 2**32),
)
def test_every_request_ends_whatever_the_order(
    requests: list[tuple[int, float, float]], slots: int, budget: float, seed: int
) -> None:
    """Random arrivals, completions, cancels and failures: nobody is lost, no slot is shared."""
    random = Random(seed)
    scheduler = Scheduler(Limits(slots=slots, pack_tflop=budget))
    pending = [work(i, s, c, g) for i, (s, c, g) in enumerate(requests)]
    alive, steps, in_flight = set(), {w.id: 0 for w in pending}, []
    finished, dropped = set(), set()
    while pending or alive or in_flight:
        action = random.choice(["submit", "tick", "complete", "complete", "disturb"])
        if action == "submit" and pending:
            scheduler.submit(pending[0])
            alive.add(pending.pop(0).id)
        elif action == "complete" and in_flight:
            pack = in_flight.pop(0)
            if random.randrange(10) == 0:
                dropped.update(scheduler.fail(pack))
                alive -= dropped
                continue
            done = scheduler.complete(pack)
            finished.update(done.finished)
            alive -= set(done.finished)
        elif action == "disturb" and alive and random.randrange(4) == 0:
            victim = random.choice(sorted(alive))
            scheduler.drop(victim)
            dropped.add(victim)
            alive.discard(victim)
        else:
            packs = scheduler.tick()
            in_flight += packs
            for pack in packs:
                assert isinstance(pack, EncodePack | DenoisePack | DecodePack)
                slots_used = [row.slot for row in pack.rows]
                assert len(set(slots_used)) == len(slots_used)
                assert not set(pack.requests) & dropped
                for request in pack.requests:
                    steps[request] += isinstance(pack, DenoisePack)
            assert scheduler.num_running <= slots
    assert scheduler.num_running == scheduler.num_waiting == 0
    assert finished | dropped == set(range(len(requests)))
    assert all(steps[i] == requests[i][0] for i in finished)
