"""How a memory budget is divided: numbers in, numbers out."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.config import parse_bytes
from mezzotint.engine.plan import (
    MAX_GRAPH_BYTES,
    Budget,
    MemoryPlan,
    Wanted,
    gib,
    make_plan,
    pixel_bytes,
    slot_bytes,
)
from mezzotint.models.find import describe_random_weights
from mezzotint.models.load import random_footprints
from mezzotint.models.spec import ModelSpec
from mezzotint.types import Precision, RequestError, ResourceError

GIB = 2**30
TURBO = describe_random_weights("z-image-turbo")
FOOTPRINTS = random_footprints(("fp32", "bf16", "fp8"))


def wanted(precision: Precision = "bf16", **changes: object) -> Wanted:
    usual = Wanted(
        precision=precision,
        slots=8,
        graphs=True,
        rows_on_host=True,
        shared_pixels=True,
        fixed=256 * 2**20,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def plan(gibibytes: float, want: Wanted | None = None, spec: ModelSpec = TURBO) -> MemoryPlan:
    budget = Budget(num_bytes=int(gibibytes * GIB), asked=True)
    return make_plan(spec, FOOTPRINTS, budget, want or wanted())


def test_the_real_models_weights_are_what_they_are() -> None:
    sizes = {p: (f.weights + f.text_rows) / GIB for p, f in FOOTPRINTS.items()}
    assert sizes["bf16"] == pytest.approx(18.9, abs=0.1)
    assert sizes["fp32"] == pytest.approx(2 * sizes["bf16"], rel=0.01)
    assert 9.9 <= sizes["fp8"] <= 10.8
    assert FOOTPRINTS["bf16"].text_rows == 151936 * 2560 * 2


def test_a_large_budget_gives_everything() -> None:
    made = plan(80)
    assert made.slots == 8
    assert made.slot_shapes == TURBO.slot_shapes
    assert made.graphs == MAX_GRAPH_BYTES
    made.check(2048, 2048, guided=True)


def test_fp8_at_12_gib_makes_1024_pictures_with_every_slot_and_some_graphs() -> None:
    made = plan(12, wanted("fp8"))
    assert made.slots == 8
    assert made.slot_shapes.pixels == 1024**2
    assert made.graphs >= FOOTPRINTS["fp8"].work(512**2, False)
    made.check(1024, 1024, guided=False)


def test_a_budget_too_small_for_the_weights_names_the_precision_that_fits() -> None:
    with pytest.raises(ResourceError) as refused:
        plan(12)
    text = str(refused.value)
    assert "Z-Image-Turbo in bf16 needs 18.8 GiB at the least" in text
    assert "--memory is 12.0 GiB" in text
    assert re.search(r"use --precision fp8, which needs \d+\.\d GiB$", text)
    assert "\n" not in text


def test_a_budget_too_small_for_any_precision_says_what_it_takes() -> None:
    with pytest.raises(ResourceError, match=r"give it [\d.]+ GiB and --precision fp8, or take a"):
        plan(6)
    with pytest.raises(ResourceError, match=r"in fp8 needs ([\d.]+ GiB) .* give it \1, or take a"):
        plan(6, wanted("fp8"))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8"])
@pytest.mark.parametrize("fixed", range(0, 2**27, 2**24 - 1))
def test_the_memory_that_is_advised_is_enough(precision: Precision, fixed: int) -> None:
    want = wanted(precision, fixed=fixed)
    with pytest.raises(ResourceError) as refused:
        plan(0.5, want)
    advised = re.search(r"needs ([\d.]+ GiB) at the least", str(refused.value))
    assert advised is not None
    make_plan(TURBO, FOOTPRINTS, Budget(num_bytes=parse_bytes(advised[1]), asked=True), want)


def test_free_memory_is_not_called_an_option() -> None:
    budget = Budget(num_bytes=12 * GIB, asked=False)
    with pytest.raises(ResourceError, match=r"12\.0 GiB are free for it; use --precision fp8"):
        make_plan(TURBO, FOOTPRINTS, budget, wanted())


def test_a_picture_too_large_is_refused_with_the_largest_that_fits() -> None:
    made = plan(22)
    with pytest.raises(RequestError) as refused:
        made.check(2048, 2048, guided=False)
    text = str(refused.value)
    assert "2048x2048 takes 4.0 GiB beside the weights" in text
    assert "budget of 22.0 GiB" in text
    side = int(text.split("fits is ")[1].split("x")[0])
    assert 1024 < side < 2048
    assert side % 16 == 0
    made.check(side, side, guided=False)
    with pytest.raises(RequestError):
        made.check(side + 16, side + 16, guided=False)


def test_guidance_takes_more_and_is_checked_for_what_it_takes() -> None:
    made = plan(22)
    side = math.isqrt(made.slot_shapes.pixels)
    made.check(side, side, guided=False)
    with pytest.raises(RequestError, match=r"with guidance takes .* largest square with guidance"):
        made.check(side, side, guided=True)


@pytest.mark.parametrize("gibibytes", [g / 4 for g in range(76, 120, 3)])
@pytest.mark.parametrize("guided", [False, True])
def test_the_largest_is_just_what_is_not_refused(gibibytes: float, guided: bool) -> None:
    made = plan(gibibytes)
    most = made.largest.guided if guided else made.largest.plain
    limits = made.limits
    sides = range(limits.min_side, 2049, limits.side_multiple)
    refused = 0
    for width, height in ((w, h) for w in sides for h in (w, 512, 1024)):
        if width * height <= most:
            made.check(width, height, guided)
        elif width * height <= limits.max_pixels:
            refused += 1
            with pytest.raises(RequestError):
                made.check(width, height, guided)
    assert refused or most == limits.max_pixels
    assert 0 < made.largest.guided <= made.largest.plain


def test_the_models_own_size_comes_before_slots_and_those_before_larger_sizes() -> None:
    plans = [plan(g / 10) for g in range(189, 260)]
    own = [made for made in plans if made.slot_shapes.pixels >= 1024**2]
    assert 5 < len(own) < len(plans)
    for made in own:
        made.check(1024, 1024, guided=False)
    assert all(made.slots == 8 for made in own if made.slot_shapes.pixels > 1024**2)
    for smaller, larger in pairwise(own):
        assert larger.slots >= smaller.slots
        assert larger.slot_shapes.pixels >= smaller.slot_shapes.pixels
        assert larger.graphs >= min(smaller.graphs, FOOTPRINTS["bf16"].work(1024**2, False))


def test_graphs_off_or_without_room_for_the_smallest_get_nothing() -> None:
    assert {plan(g / 10).graphs for g in range(189, 193)} == {0}
    assert plan(80, wanted(graphs=False)).graphs == 0
    assert plan(20.5, wanted(graphs=False)).room > plan(20.5).room


def test_rows_on_the_device_cost_what_they_hold() -> None:
    there = plan(80, wanted(rows_on_host=False))
    assert there.weights - plan(80).weights == FOOTPRINTS["bf16"].text_rows


@given(
    gibibytes=st.floats(8, 60),
    precision=st.sampled_from(["fp32", "bf16", "fp8"]),
    slots=st.integers(1, 64),
    graphs=st.booleans(),
    on_host=st.booleans(),
    shared=st.booleans(),
)
def test_every_plan_stays_within_its_budget(
    gibibytes: float, precision: Precision, slots: int, graphs: bool, on_host: bool, shared: bool
) -> None:
    want = wanted(precision, slots=slots, graphs=graphs, rows_on_host=on_host, shared_pixels=shared)
    try:
        made = plan(gibibytes, want)
    except ResourceError:
        return
    element = FOOTPRINTS[precision].element
    held = made.weights + want.fixed + made.slots * slot_bytes(made.slot_shapes, element)
    held += (1 if shared else made.slots) * pixel_bytes(made.slot_shapes)
    assert held + made.room + made.graphs <= made.budget.num_bytes
    assert 1 <= made.slots <= slots
    assert made.graphs >= 0
    side = math.isqrt(made.slot_shapes.pixels)
    assert FOOTPRINTS[precision].work(side**2, False) <= made.room
    made.check(512, 512, guided=False)


def test_sizes_read_as_people_write_them() -> None:
    assert gib(12 * GIB) == "12.0 GiB"
    assert gib(300 * 2**20) == "300 MiB"
