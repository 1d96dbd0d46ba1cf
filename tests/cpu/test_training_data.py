"""The training data: plans, captions in both languages, layout and renderer."""

import re
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from training.data import art, chinese, english
from training.data.backgrounds import PLAINS, SCENES
from training.data.batch import Batch, crowd, lay_out_batch
from training.data.colour import COLOURS
from training.data.layout import lay_out
from training.data.plan import (
    NO_COLOUR,
    Plan,
    Thing,
    World,
    held_out_background,
    held_out_colour,
    is_held_out,
    sample_plan,
)
from training.data.render import Stage, know, render, set_stage
from training.data.subjects import read_subjects

SAMPLE = Path("training/sample.zip")
SIZES = [(128, 128), (144, 96), (96, 176)]


@pytest.fixture(scope="module")
def world() -> World:
    subjects = tuple(read_subjects())
    return World(subjects, (True,) * len(subjects))


@pytest.fixture(scope="module")
def stage() -> Stage:
    drawings = art.load(SAMPLE)
    return set_stage(drawings, *know(drawings), SIZES, 2, "cpu")


def test_names_are_unique_in_each_language(world):
    for names in ([s.english for s in world.subjects], [s.chinese for s in world.subjects]):
        flat = [n for group in names for n in group]
        assert len(flat) == len(set(flat)) > 700


@pytest.mark.parametrize("word", ["apple", "cat", "dog", "car", "tree", "house", "flower", "book"])
def test_plain_words_are_known(world, word):
    assert any(word in s.english for s in world.subjects)


def test_training_plans_hold_no_held_out_pair(world):
    random = Random(1)
    for _ in range(800):
        plan = sample_plan(world, random, lambda p: not is_held_out(world, p))
        for thing in plan.things:
            assert not held_out_colour(world, thing)
            assert not held_out_background(world, thing, plan.background)


def test_a_tenth_of_the_pairs_is_held_out(world):
    pairs = [Thing(s, c) for s in range(len(world.subjects)) for c in range(len(COLOURS))]
    share = np.mean([held_out_colour(world, p) for p in pairs])
    assert 0.085 < share < 0.115
    assert not held_out_colour(world, Thing(0, NO_COLOUR))


def test_chinese_captions_are_well_formed(world):
    random = Random(2)
    for i in range(800):
        plan = sample_plan(world, random)
        text = chinese.caption(world, plan, random, long=i % 5 == 0)
        assert re.search(r"[\u4e00-\u9fff]", text)
        assert "{" not in text
        assert not re.search(r"的的|，，|在在|一两|  ", text), text
        names = [n for t in plan.things for n in world.subjects[t.subject].chinese]
        assert any(n in text for n in names)


def test_chinese_says_number_measure_and_colour(world):
    index = next(i for i, s in enumerate(world.subjects) if "rose" in s.english)
    plan = Plan("count", (Thing(index, COLOURS.index("red")),), 3, "", 0, False, 0)
    texts = {chinese.caption(world, plan, Random(i)) for i in range(40)}
    assert "三朵红色的玫瑰" in texts


def test_english_captions_name_what_is_shown(world):
    random = Random(3)
    for i in range(800):
        plan = sample_plan(world, random)
        text = english.caption(world, plan, random, long=i % 5 == 0).lower()
        assert "{" not in text
        assert "  " not in text
        if plan.kind != "count":
            names = [n for t in plan.things for n in world.subjects[t.subject].english]
            assert any(n in text for n in names), text


@pytest.mark.parametrize(
    ("name", "many"),
    [("cat", "cats"), ("cherry", "cherries"), ("bus", "buses"), ("fish", "fish"),
     ("cup of coffee", "cups of coffee"), ("scissors", "scissors"), ("wolf", "wolves")],
)  # fmt: skip
def test_plurals(name, many):
    assert english.plural(name) == many


@pytest.mark.parametrize(
    ("name", "text"),
    [("apple", "an apple"), ("unicorn", "a unicorn"), ("glasses", "glasses"),
     ("santa claus", "a santa claus"), ("hourglass", "an hourglass"), ("bus", "a bus")],
)  # fmt: skip
def test_articles(name, text):
    assert english.with_article(name) == text


def test_things_stay_inside_every_size(world):
    random = Random(4)
    for width, height in SIZES:
        for _ in range(300):
            plan = sample_plan(world, random)
            spots = lay_out(plan, width, height, random)
            assert len(spots) == plan.count
            for spot in spots:
                half = spot.size * min(width, height) / 2
                for centre, side in ((spot.x * width, width), (spot.y * height, height)):
                    assert centre - half > -0.12 * side
                    assert centre + half < 1.12 * side


def test_a_sprite_lands_where_it_was_put(stage):
    batch = _one(stage, subject=0, colour=NO_COLOUR, x=0.25, y=0.75, size=0.4)
    changed = (render(stage, batch)[0] < 0.98).any(0).nonzero().float()
    middle = changed.mean(0)
    assert abs(middle[0] - 96) < 8
    assert abs(middle[1] - 32) < 8
    assert changed.amax(0).sub(changed.amin(0)).max() < 0.42 * 128


def test_a_colour_word_changes_the_hue(stage):
    apple = next(i for i, s in enumerate(stage.world.subjects) if "apple" in s.english)
    plain, blue = (
        render(stage, _one(stage, apple, c, 0.5, 0.5, 0.8))[0]
        for c in (NO_COLOUR, COLOURS.index("blue"))
    )
    assert plain[0].mean() > plain[2].mean()
    assert blue[2].mean() > blue[0].mean()


def test_a_batch_draws_what_each_picture_draws_alone(stage):
    random = Random(5)
    plans = [sample_plan(stage.world, random) for _ in range(12)]
    batch = lay_out_batch(plans, 144, 96, random)
    together = render(stage, batch)
    alone = torch.cat([render(stage, batch[i : i + 1]) for i in range(len(batch))])
    assert together.shape == (12, 3, 96, 144)
    assert torch.allclose(together, alone, atol=1e-5)


def test_scenes_differ_from_each_other_and_between_variants(stage):
    scenes = stage.scenes[96, 176].float()
    assert scenes.shape == (len(SCENES), 2, 3, 176, 96)
    assert (scenes[:, 0] - scenes[:, 1]).abs().mean((1, 2, 3)).min() > 0.3
    flat = scenes[:, 0].flatten(1)
    assert (torch.cdist(flat, flat) + 1e9 * torch.eye(len(flat))).min() > 1000


def test_crowds_are_full_and_drawable(stage):
    batch = crowd(stage.world, 8, 128, 128, np.random.default_rng(0))
    assert (batch.count >= 2).all()
    assert torch.isfinite(render(stage, batch)).all()


def _one(stage: Stage, subject: int, colour: int, x: float, y: float, size: float) -> Batch:
    plan = Plan("single", (Thing(subject, colour),), 1, "", 0, False, 0)
    batch = lay_out_batch([plan], 128, 128, Random(0))
    batch.x[0, 0], batch.y[0, 0], batch.size[0, 0] = x, y, size
    assert batch.background[0] < len(PLAINS)
    return batch
