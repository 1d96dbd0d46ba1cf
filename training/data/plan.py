"""Plans: what a picture shows, before it is laid out, drawn or put into words."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from training.data.backgrounds import NUM_BACKGROUNDS, PLAINS, WHITE
from training.data.colour import COLOURS
from training.data.subjects import Subject

NO_COLOUR = -1
SIZES = ("tiny", "small", "big", "huge")
PLACES = ("left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right")
RELATIONS = ("and", "next to", "left of", "above", "under", "small and big")
_KIND_SHARES = {"single": 0.46, "sized": 0.08, "placed": 0.08, "count": 0.14, "pair": 0.24}
_RELATION_SHARES = (2, 2, 1, 1, 1, 1)
_HELD_OUT_ONE_IN = 10


@dataclass(frozen=True)
class World:
    """What plans may be made of: the subjects, and which of them take a colour word."""

    subjects: tuple[Subject, ...]
    paintable: tuple[bool, ...]


@dataclass(frozen=True)
class Thing:
    """A subject (index in the world) and its colour (index in COLOURS, or NO_COLOUR)."""

    subject: int
    colour: int


@dataclass(frozen=True)
class Plan:
    """What one picture shows.

    kind: single · sized · placed (one thing), count (2-6 of one thing), pair (two things).
    detail: the size, place or relation that the kind needs, else ''.
    style: index in STYLES; style_named: whether the caption says it.
    background: index over PLAINS then SCENES.
    """

    kind: str
    things: tuple[Thing, ...]
    count: int
    detail: str
    style: int
    style_named: bool
    background: int


def sample_plan(
    world: World, random: Random, accept: Callable[[Plan], bool] = lambda _: True
) -> Plan:
    """Draw plans until one is accepted."""
    while True:
        plan = _sample(world, random)
        if plan is not None and accept(plan):
            return plan


def is_held_out(world: World, plan: Plan) -> bool:
    """Whether the plan shows a (subject, colour) or (subject, background) pair kept from training.

    One pair in ten is, by the CRC-32 of its name, so that the choice survives any reordering.
    """
    return any(
        held_out_colour(world, t) or held_out_background(world, t, plan.background)
        for t in plan.things
    )


def held_out_colour(world: World, thing: Thing) -> bool:
    """Whether this subject in this colour is kept from training."""
    if thing.colour == NO_COLOUR:
        return False
    return _one_in_ten(f"{world.subjects[thing.subject].code}|{COLOURS[thing.colour]}")


def held_out_background(world: World, thing: Thing, background: int) -> bool:
    """Whether this subject before this background is kept from training; white never is."""
    if background == WHITE:
        return False
    return _one_in_ten(f"{world.subjects[thing.subject].code}|background {background}")


def _one_in_ten(key: str) -> bool:
    return zlib.crc32(key.encode()) % _HELD_OUT_ONE_IN == 0


def _sample(world: World, random: Random) -> Plan | None:
    kind = random.choices(list(_KIND_SHARES), list(_KIND_SHARES.values()))[0]
    style = 0 if random.random() < 0.6 else random.randrange(3)
    things = [_thing(world, random)]
    count, detail = 1, ""
    if kind == "sized":
        detail = random.choice(SIZES)
    elif kind == "placed":
        detail = random.choice(PLACES)
    elif kind == "count":
        count = random.choice((2, 2, 3, 3, 4, 4, 5, 6))
    elif kind == "pair":
        detail = random.choices(RELATIONS, _RELATION_SHARES)[0]
        things.append(_thing(world, random))
        count = 2
        if things[0].subject == things[1].subject:
            return None
    named = style != 0 or random.random() < 0.25
    return Plan(kind, tuple(things), count, detail, style, named, _background(random))


def _thing(world: World, random: Random) -> Thing:
    subject = random.randrange(len(world.subjects))
    coloured = world.paintable[subject] and random.random() < 0.45
    return Thing(subject, random.randrange(len(COLOURS)) if coloured else NO_COLOUR)


def _background(random: Random) -> int:
    draw = random.random()
    if draw < 0.44:
        return random.randrange(len(PLAINS), NUM_BACKGROUNDS)
    return WHITE if draw < 0.7 else random.randrange(len(PLAINS))
