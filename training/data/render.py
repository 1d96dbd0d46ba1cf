"""The renderer: batches of pictures drawn at once, on the GPU where there is one."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.art import SPRITE_PX, STYLES, Art
from training.data.backgrounds import PLAINS, SCENES
from training.data.batch import Batch
from training.data.colour import COLOURS, Palette, analyse, repaint
from training.data.plan import World
from training.data.scenes import draw_scenes

_LEVELS = 3
_SUPERSAMPLE = 2
_SHADOW = 0.34
_HORIZON = 0.7  # things whose foot is above this share of the height throw no shadow


@dataclass(frozen=True)
class Stage:
    """All that drawing needs, on one device.

    sprites: per level float16 [subjects * styles, 4, S, S], premultiplied; S halves a level.
    hue: float [subjects * styles]; feet: float [subjects * styles, 3], the middle, the half width
    and the bottom of each drawing, in sprite sides from its centre.
    scenes: by (width, height), uint8 [scenes, variants, 3, H, W].
    """

    world: World
    sprites: tuple[Tensor, ...]
    hue: Tensor
    feet: Tensor
    scenes: dict[tuple[int, int], Tensor]
    plains: Tensor
    grounded: np.ndarray


def know(art: Art) -> tuple[World, Palette]:
    """What plans and paint need to know of the art, worked out on the CPU."""
    palette = analyse(torch.from_numpy(art.sprites))
    return World(art.subjects, _takes_colour(art, palette)), palette


def set_stage(
    art: Art, world: World, palette: Palette, sizes: Iterable[tuple[int, int]], variants: int,
    device: str, seed: int = 0,
) -> Stage:  # fmt: skip
    """Put sprites and scenes on the device; `variants` drawings of each scene and size."""
    sprites = _premultiplied(art.sprites, device)
    levels = [sprites]
    for _ in range(_LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1].float(), 2).half())
    plains = torch.tensor([p.rgb for p in PLAINS], device=device).float() / 255
    grounded = np.array([False] * len(PLAINS) + [s.ground for s in SCENES])
    return Stage(
        world, tuple(levels),
        palette.hue.flatten().to(device), _feet(art.sprites).to(device),
        {(w, h): draw_scenes(w, h, variants, seed, device) for w, h in sizes}, plains, grounded,
    )  # fmt: skip


def render(stage: Stage, batch: Batch) -> Tensor:
    """Draw a batch: float32 [B, 3, height, width] in 0..1 on the stage's device."""
    pixels = _backgrounds(stage, batch)
    for slot in range(int(batch.count.max(initial=0))):
        level = _level(batch, slot)
        for lod in range(_LEVELS):
            here = np.flatnonzero((batch.count > slot) & (level == lod))
            if len(here):
                _add(stage, batch, slot, lod, here, pixels)
    return pixels.clamp_(0, 1)


def _takes_colour(art: Art, palette: Palette) -> tuple[bool, ...]:
    """Paintable subjects whose name does not already say a colour."""
    named = [any(c in s.english[0].split(" ") for c in COLOURS) for s in art.subjects]
    return tuple(bool(p) and not n for p, n in zip(palette.paintable, named, strict=True))


def _premultiplied(sprites: np.ndarray, device: str) -> Tensor:
    """uint8 straight alpha to float16 premultiplied, a subject at a time to bound memory."""
    out = [torch.from_numpy(s).to(device).float() / 255 for s in sprites]
    return torch.cat([torch.cat([s[:, :3] * s[:, 3:], s[:, 3:]], 1).half() for s in out])


def _feet(sprites: np.ndarray) -> Tensor:
    alpha = sprites[:, :, 3].reshape(-1, SPRITE_PX, SPRITE_PX) > 96
    columns, rows = alpha.any(1), alpha.any(2)
    left, right = columns.argmax(1), SPRITE_PX - columns[:, ::-1].argmax(1)
    bottom = SPRITE_PX - rows[:, ::-1].argmax(1)
    middle = (left + right) / 2 / SPRITE_PX - 0.5
    half = (right - left) / 2 / SPRITE_PX
    return torch.from_numpy(np.stack([middle, half, bottom / SPRITE_PX - 0.5], 1)).float()


def _backgrounds(stage: Stage, batch: Batch) -> Tensor:
    device = stage.plains.device
    scenes = stage.scenes[batch.width, batch.height]
    kind = torch.from_numpy(batch.background).to(device)
    variant = torch.from_numpy(batch.variant % scenes.shape[1]).to(device)
    drawn = scenes[(kind - len(PLAINS)).clamp_min(0), variant].float() / 255
    plain = stage.plains[kind.clamp_max(len(PLAINS) - 1)][:, :, None, None]
    return torch.where((kind < len(PLAINS))[:, None, None, None], plain, drawn)


def _level(batch: Batch, slot: int) -> np.ndarray:
    """The sprite level that two samples a pixel read without aliasing."""
    pixels = batch.size[:, slot] * min(batch.width, batch.height)
    return np.clip(np.floor(np.log2(SPRITE_PX / 1.35 / np.maximum(pixels, 1)) - 0.5), 0,
                   _LEVELS - 1).astype(int)  # fmt: skip


def _add(stage: Stage, batch: Batch, slot: int, lod: int, here: np.ndarray, pixels: Tensor) -> None:
    """Draw one thing, and its shadow, into each of the pictures `here`."""
    device = pixels.device
    to = lambda a: torch.from_numpy(np.ascontiguousarray(a)).to(device)  # noqa: E731
    which = to(batch.subject[here, slot] * len(STYLES) + batch.style[here])
    spot = to(np.stack([batch.x, batch.y, batch.size], -1)[here, slot])
    sprites = stage.sprites[lod][which].float()
    colour = batch.colour[here, slot]
    painted = to(np.flatnonzero(colour >= 0))
    if len(painted):
        paint = to(colour[colour >= 0])
        sprites[painted] = repaint(sprites[painted], stage.hue[which[painted]], paint)
    drawn = _sample(sprites, spot, batch.width, batch.height)
    index = to(here)
    under = pixels[index]
    if stage.grounded[batch.background[here]].any():
        grounded = to(stage.grounded[batch.background[here]].astype(np.float32))
        shade = _shadows(stage.feet[which], spot, batch.width, batch.height)
        under = under * (1 - _SHADOW * grounded[:, None, None, None] * shade)
    pixels[index] = under * (1 - drawn[:, 3:]) + drawn[:, :3]


def _sample(sprites: Tensor, spot: Tensor, width: int, height: int) -> Tensor:
    """Place sprites on empty pictures, with _SUPERSAMPLE squared samples a pixel."""
    short = min(width, height)
    x, y, size = spot.unbind(1)
    zero = torch.zeros_like(x)
    across, down = width / short / size, height / short / size
    affine = torch.stack(
        [across, zero, (1 - 2 * x) * across, zero, down, (1 - 2 * y) * down], 1
    ).view(-1, 2, 3)
    shape = [len(sprites), 4, height * _SUPERSAMPLE, width * _SUPERSAMPLE]
    grid = F.affine_grid(affine, shape, align_corners=False)
    return F.avg_pool2d(F.grid_sample(sprites, grid, align_corners=False), _SUPERSAMPLE)


def _shadows(feet: Tensor, spot: Tensor, width: int, height: int) -> Tensor:
    """A soft ellipse under each thing that stands on the ground: [N, 1, H, W] in 0..1."""
    short = min(width, height)
    x, y, size = spot.unbind(1)
    foot_x = x * width / short + feet[:, 0] * size
    foot_y = y * height / short + (feet[:, 2] - 0.015) * size
    wide = (feet[:, 1] * size * 0.95).clamp_min(0.02)
    stands = ((foot_y * short / height - _HORIZON) * 40 + 0.5).clamp(0, 1)
    px = (torch.arange(width, device=spot.device) + 0.5) / short
    py = (torch.arange(height, device=spot.device) + 0.5) / short
    dx = (px - foot_x[:, None]) / wide[:, None]
    dy = (py - foot_y[:, None]) / (wide * 0.2)[:, None]
    soft = torch.exp(-(dx**2)[:, None, :] - (dy**2)[:, :, None])
    return (soft * stands[:, None, None])[:, None]
