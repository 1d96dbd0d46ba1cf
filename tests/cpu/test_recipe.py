"""From a request to a recipe: defaults, presets, limits, and sentences for what is wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.models.find import describe
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.presets import DEFAULTS, variant_of
from mezzotint.types import MAX_SEED, Recipe, Request, RequestError, StepRange

BUNDLED = Path(__file__).parents[2] / "mezzotint" / "bundled"
SPEC = describe(BUNDLED)


def test_defaults_are_the_models_own() -> None:
    recipe = resolve(Request(prompt="a cat"), SPEC)
    assert (recipe.width, recipe.height) == SPEC.sizes[0]
    assert (recipe.steps, recipe.guidance) == (SPEC.steps, SPEC.guidance)
    assert 0 <= recipe.seed < 2**32


def test_random_seeds_differ() -> None:
    seeds = {resolve(Request(prompt="a", seed=-1), SPEC).seed for _ in range(8)}
    assert len(seeds) > 1


def test_of_a_range_of_steps_the_chosen_one_or_the_most_is_made() -> None:
    asked = Request(prompt="x", steps_range=StepRange(4, 30), preset="fidelity")
    assert resolve(asked, SPEC).steps == 30
    assert resolve(replace(asked, steps=4), SPEC).steps == 4


@pytest.mark.parametrize("name", ["daily", "日常创作", "Everyday"])
def test_a_preset_answers_to_all_its_names(name: str) -> None:
    preset = SPEC.presets[1]
    recipe = resolve(Request(prompt="x", preset=name), SPEC)
    assert (recipe.width, recipe.steps, recipe.guidance) == (
        preset.width,
        preset.steps,
        preset.guidance,
    )


def test_the_request_beats_its_preset() -> None:
    recipe = resolve(Request(prompt="x", preset="fidelity", steps=3, seed=7), SPEC)
    assert (recipe.steps, recipe.seed) == (3, 7)
    assert resolve(Request(prompt="x", preset="fidelity"), SPEC).seed == 42


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(prompt=" "), ["prompt is empty"]),
        (Request(prompt="a\ud800b"), ["prompt", "not valid Unicode"]),
        (Request(prompt="x", width=130, height=128), ["130", "multiple of 16", "128"]),
        (Request(prompt="x", width=4096, height=4096), ["4096", "192"]),
        (Request(prompt="x", width=128), ["only the width", "both sides"]),
        (Request(prompt="x", steps=0), ["steps 0", "1 to 120"]),
        (Request(prompt="x", steps=121), ["steps 121", "1 to 120"]),
        (Request(prompt="x", steps_range=StepRange(0, 8)), ["least steps 0", "1 to 120"]),
        (Request(prompt="x", steps_range=StepRange(4, 121)), ["most steps 121", "1 to 120"]),
        (Request(prompt="x", steps_range=StepRange(9, 8)), ["steps 9 to 8 are no range", "min"]),
        (Request(prompt="x", steps=3, steps_range=StepRange(4, 8)), ["steps 3", "4 to 8"]),
        (Request(prompt="x", guidance=-1.0), ["guidance -1", "0 to 20", "CFG - 1"]),
        (Request(prompt="x", guidance=math.nan), ["guidance nan", "not a number"]),
        (Request(prompt="x", guidance=10**400), [str(10**400), "give one from 0 to 20"]),
        (Request(prompt="x", guidance=Fraction(41, 2)), ["guidance 20.5 is out of range"]),
        (Request(prompt="x", guidance_truncation=1.5), ["guidance_truncation 1.5", "0 to 1"]),
        (Request(prompt="x", guidance_rescale=-0.5), ["guidance_rescale -0.5"]),
        (Request(prompt="x", seed=MAX_SEED + 1), [str(MAX_SEED + 1), "-1 for random"]),
        (Request(prompt="x", seed=-2), ["seed -2"]),
        (Request(prompt="x", previews=-1), ["previews -1", "0 to 120"]),
        (Request(prompt="x", preset="huge"), ["'huge'", "quick (快速预览)"]),
        (Request(prompt="x", preset=np.arange(2)), ["array([0, 1])", "quick (快速预览)"]),
        (Request(prompt="x", format=np.array(["png", "webp"])), ["'webp'", "png, webp, jpeg"]),
        (Request(prompt="x", empty_prompt="yes"), ["empty_prompt 'yes'", "True or False"]),
        (Request(prompt="x", guidance=0.0, negative_prompt="blur"), ["negative prompt", "above 0"]),
    ],
)
def test_wrong_requests_get_a_sentence(request_: Request, words: list[str]) -> None:
    with pytest.raises(RequestError) as error:
        resolve(request_, SPEC)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


NUMBERS = st.none() | st.integers() | st.floats() | st.booleans() | st.just(128) | st.just(8)


@given(
    prompt=st.text(max_size=40),
    negative=st.text(max_size=10),
    width=NUMBERS,
    height=NUMBERS,
    steps=NUMBERS,
    guidance=NUMBERS,
    rescale=st.floats(),
    truncation=st.floats(),
    seed=NUMBERS,
    preset=st.none() | st.text(max_size=5) | st.just("quick"),
)
def test_any_request_is_a_valid_recipe_or_an_error(
    prompt: str,
    negative: str,
    width: int | None,
    height: int | None,
    steps: int | None,
    guidance: float | None,
    rescale: float,
    truncation: float,
    seed: int | None,
    preset: str | None,
) -> None:
    request = Request(
        prompt=prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        steps=steps,
        guidance=guidance,
        guidance_rescale=rescale,
        guidance_truncation=truncation,
        seed=seed,
        preset=preset,
    )
    try:
        recipe = resolve(request, SPEC)
    except RequestError:
        return
    assert_within_limits(recipe, SPEC)


def assert_within_limits(recipe: Recipe, spec: ModelSpec) -> None:
    limits = spec.limits
    for side in (recipe.width, recipe.height):
        assert side % limits.side_multiple == 0
        assert limits.min_side <= side <= limits.max_side
    assert 1 <= recipe.steps <= limits.max_steps
    assert 0 <= recipe.guidance <= limits.max_guidance
    assert 0 <= recipe.seed <= MAX_SEED


def test_variants_are_told_apart_by_content() -> None:
    full = TransformerConfig()
    assert variant_of(full, 3.0) == "turbo"
    assert variant_of(full, 6.0) == "base"
    assert variant_of(TransformerConfig(dim=288, num_heads=6), 3.0) == "small"


def test_the_published_scenes() -> None:
    base = [(p.zh, p.width, p.steps, p.guidance + 1, p.seed) for p in DEFAULTS["base"].presets]
    assert base == [
        ("快速预览", 768, 15, 7.0, None),
        ("日常创作", 1024, 30, 7.5, None),
        ("高保真输出", 1024, 50, 9.0, 42),
        ("批量生产", 768, 20, 7.0, None),
    ]
    turbo = [(p.width, p.steps, p.guidance, p.seed) for p in DEFAULTS["turbo"].presets]
    assert turbo == [(768, 4, 0, None), (1024, 8, 0, None), (1024, 8, 0, 42), (768, 8, 0, None)]


@pytest.mark.parametrize("variant", list(DEFAULTS))
def test_defaults_and_presets_are_within_their_own_limits(variant: str) -> None:
    defaults = DEFAULTS[variant]  # type: ignore[index]
    for width, height in (*defaults.sizes, *((p.width, p.height) for p in defaults.presets)):
        limits = defaults.limits
        assert width % 16 == height % 16 == 0
        assert limits.min_pixels <= width * height <= limits.max_pixels
    assert len({preset.key for preset in defaults.presets}) == len(defaults.presets)
