"""Layout: where each thing of a plan stands, and how large, in a picture of a given size."""

from dataclasses import dataclass
from random import Random

from training.data.backgrounds import PLAINS
from training.data.plan import Plan

_SIZES = {"tiny": (0.22, 0.28), "small": (0.36, 0.44), "big": (0.88, 0.96), "huge": (0.98, 1.1)}
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.26, 0.74, 0.27, 0.73
_PLACES = {
    "left": (_LEFT, 0.5),
    "right": (_RIGHT, 0.5),
    "top": (0.5, _TOP),
    "bottom": (0.5, _BOTTOM),
    "top left": (_LEFT, _TOP),
    "top right": (_RIGHT, _TOP),
    "bottom left": (_LEFT, _BOTTOM),
    "bottom right": (_RIGHT, _BOTTOM),
}
_CORNERS = ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73))
_SQUARE = {
    2: (((0.27, 0.5), (0.73, 0.5)), 0.45),
    3: (((0.5, 0.28), (0.27, 0.72), (0.73, 0.72)), 0.43),
    4: (_CORNERS, 0.43),
    5: (((0.24, 0.24), (0.76, 0.24), (0.5, 0.5), (0.24, 0.76), (0.76, 0.76)), 0.34),
    6: (((0.19, 0.3), (0.5, 0.3), (0.81, 0.3), (0.19, 0.7), (0.5, 0.7), (0.81, 0.7)), 0.29),
}
_WIDE_COLUMNS = {2: 2, 3: 3, 4: 2, 5: 3, 6: 3}


@dataclass(frozen=True)
class Spot:
    """Where one thing stands: centre as shares of width and height, size in short sides.

    Things are never mirrored: it would double what the model must remember, and turn letters.
    """

    x: float
    y: float
    size: float


def lay_out(plan: Plan, width: int, height: int, random: Random) -> list[Spot]:
    """Spots for the `plan.count` things of a plan, in their order."""
    aspect = width / height
    drop = 0.0 if plan.background < len(PLAINS) else 0.08  # in a scene, things stand lower
    if plan.kind == "count":
        return _count(plan.count, aspect, drop, random)
    if plan.kind == "pair":
        return _pair(plan.detail, aspect, drop, random)
    return [_one(plan, drop, random)]


def _one(plan: Plan, drop: float, random: Random) -> Spot:
    if plan.kind == "placed":
        x, y = _PLACES[plan.detail]
        return Spot(x + _jitter(random), y + _jitter(random), random.uniform(0.42, 0.5))
    if plan.kind == "sized":
        size = random.uniform(*_SIZES[plan.detail])
        y = 0.5 + (drop if size < 0.8 else 0.0)
        return Spot(0.5 + _jitter(random), y + _jitter(random), size)
    size = random.uniform(0.66, 0.86)
    return Spot(0.5 + random.uniform(-0.05, 0.05), 0.5 + drop + _jitter(random), size)


def _count(count: int, aspect: float, drop: float, random: Random) -> list[Spot]:
    if aspect > 1.2:
        places, size = _grid(count, aspect)
    elif aspect < 0.85:
        turned, size = _grid(count, 1 / aspect)
        places = tuple((y, x) for x, y in turned)
    else:
        places, size = _SQUARE[count]
    shift = drop * 0.5 if len({y for _, y in places}) == 1 else 0.0
    size *= random.uniform(0.94, 1.05)
    return [Spot(x + _jitter(random), y + shift + _jitter(random), size) for x, y in places]


def _grid(count: int, aspect: float) -> tuple[tuple[tuple[float, float], ...], float]:
    """Rows of a wide picture: centres, and the size that fills a cell; a short row is centred."""
    columns = 4 if count == 4 and aspect > 1.7 else _WIDE_COLUMNS[count]
    rows = -(-count // columns)
    places = []
    for row in range(rows):
        here = min(columns, count - row * columns)
        start = (columns - here) / 2
        places += [((start + i + 0.5) / columns, (row + 0.5) / rows) for i in range(here)]
    return tuple(places), min(0.62, 0.88 * min(aspect / columns, 1 / rows))


def _pair(relation: str, aspect: float, drop: float, random: Random) -> list[Spot]:
    across = 0.47 * min(max(aspect, 1.0), 1.4)
    upright = 0.45 * min(max(1 / aspect, 1.0), 1.4)
    beside = ((0.27, 0.5 + drop / 2, across), (0.73, 0.5 + drop / 2, across))
    spots = {
        "and": beside,
        "next to": beside,
        "left of": beside,
        "above": ((0.5, 0.26, upright), (0.5, 0.75, upright)),
        "under": ((0.5, 0.75, upright), (0.5, 0.26, upright)),
        "small and big": ((0.19, 0.7, 0.31), (0.65, 0.5, 0.64)),
    }[relation]
    return [
        Spot(x + _jitter(random), y + _jitter(random), size * random.uniform(0.95, 1.05))
        for x, y, size in spots
    ]


def _jitter(random: Random) -> float:
    return random.uniform(-0.02, 0.02)
