"""A batch of pictures as arrays: what the renderer draws."""

from dataclasses import dataclass
from random import Random

import numpy as np

from training.data.backgrounds import NUM_BACKGROUNDS
from training.data.colour import COLOURS
from training.data.layout import lay_out
from training.data.plan import NO_COLOUR, Plan, World

MOST_THINGS = 6


@dataclass(frozen=True)
class Batch:
    """Pictures of one size. The first axis is the picture, K = MOST_THINGS slots follow it.

    style, background, count: int64 [B]; variant: int64 [B], which drawing of a scene.
    subject, colour: int64 [B, K]; x, y, size: float32 [B, K].
    """

    width: int
    height: int
    style: np.ndarray
    background: np.ndarray
    count: np.ndarray
    variant: np.ndarray
    subject: np.ndarray
    colour: np.ndarray
    x: np.ndarray
    y: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.style)

    def __getitem__(self, index: slice | np.ndarray) -> "Batch":
        arrays = {k: v[index] for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        return Batch(self.width, self.height, **arrays)


def lay_out_batch(plans: list[Plan], width: int, height: int, random: Random) -> Batch:
    """Lay out plans as one batch of pictures of this size."""
    b, k = len(plans), MOST_THINGS
    batch = _empty(b, k, width, height)
    for i, plan in enumerate(plans):
        spots = lay_out(plan, width, height, random)
        batch.style[i], batch.background[i] = plan.style, plan.background
        batch.count[i], batch.variant[i] = len(spots), random.getrandbits(30)
        for j, spot in enumerate(spots):
            thing = plan.things[min(j, len(plan.things) - 1)]
            batch.subject[i, j], batch.colour[i, j] = thing.subject, thing.colour
            batch.x[i, j], batch.y[i, j], batch.size[i, j] = spot.x, spot.y, spot.size
    return batch


def crowd(world: World, count: int, width: int, height: int, rng: np.random.Generator) -> Batch:
    """Pictures crowded with unrelated things of all sizes: more edges a pixel for the VAE."""
    shape = (count, MOST_THINGS)
    batch = _empty(count, MOST_THINGS, width, height)
    batch.style[:] = rng.choice(3, count, p=(0.5, 0.25, 0.25))
    batch.background[:] = rng.integers(NUM_BACKGROUNDS, size=count)
    batch.count[:] = rng.integers(2, MOST_THINGS + 1, count)
    batch.variant[:] = rng.integers(1 << 30, size=count)
    batch.subject[:] = rng.integers(len(world.subjects), size=shape)
    paintable = np.asarray(world.paintable)[batch.subject] & (rng.random(shape) < 0.45)
    batch.colour[:] = np.where(paintable, rng.integers(len(COLOURS), size=shape), NO_COLOUR)
    batch.x[:], batch.y[:] = rng.random(shape), rng.random(shape)
    batch.size[:] = rng.uniform(0.25, 0.8, shape)
    return batch


def _empty(b: int, k: int, width: int, height: int) -> Batch:
    ids = [np.zeros(b, np.int64) for _ in range(4)]
    things = [np.zeros((b, k), np.int64) for _ in range(2)]
    spots = [np.zeros((b, k), np.float32) for _ in range(3)]
    return Batch(width, height, *ids, *things, *spots)
