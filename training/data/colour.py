"""Colour words: which subjects take one, and how a sprite is repainted."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "gray")
# hue in degrees (nan keeps the hue), saturation factor, then value -> offset + gain * value**power
_PAINT = torch.tensor(
    [
        [0, 1.05, 0.0, 1.0, 1.0],
        [28, 1.05, 0.03, 1.0, 1.0],
        [50, 1.05, 0.08, 1.0, 1.0],
        [125, 0.95, 0.0, 0.95, 1.0],
        [215, 1.0, 0.02, 1.0, 1.0],
        [275, 0.9, 0.0, 1.0, 1.0],
        [330, 0.5, 0.3, 0.7, 1.0],
        [math.nan, 0.06, 0.72, 0.28, 1.0],
        [math.nan, 0.12, 0.0, 0.36, 1.5],
        [math.nan, 0.07, 0.0, 0.68, 1.0],
    ]
)
_BINS = 36


@dataclass(frozen=True)
class Palette:
    """What repainting needs to know of each sprite.

    hue: float [subjects, styles], the dominant hue in degrees.
    paintable: bool [subjects], whether one hue rules enough of the drawing to be replaced.
    """

    hue: Tensor
    paintable: Tensor


def analyse(sprites: Tensor) -> Palette:
    """Find the dominant hue of uint8 sprites [subjects, styles, 4, S, S]."""
    count, styles = sprites.shape[:2]
    x = F.avg_pool2d(sprites.flatten(0, 1).float() / 255, 2)
    hue, saturation, value = _to_hsv(x[:, :3])
    coloured = x[:, 3] * (saturation > 0.25)
    weight = coloured * saturation * value
    bins = (hue / (360 / _BINS)).long().clamp(0, _BINS - 1)
    votes = torch.zeros(len(x), _BINS).scatter_add_(1, bins.flatten(1), weight.flatten(1))
    smooth = votes + votes.roll(1, 1) + votes.roll(-1, 1)
    peak = (smooth.argmax(1).float() + 0.5) * (360 / _BINS)
    offset = _turn(hue - peak[:, None, None])
    near = offset.abs() < 35
    mass = (weight * near).sum((1, 2))
    dominant = (peak + (weight * near * offset).sum((1, 2)) / (mass + 1e-6)) % 360
    share = mass / (weight.sum((1, 2)) + 1e-6)
    area = (coloured * near).sum((1, 2)) / (x[:, 3].sum((1, 2)) + 1e-6)
    fits = ((share > 0.55) & (area > 0.28)).view(count, styles)
    return Palette(dominant.view(count, styles), (fits.sum(1) >= 2) & fits[:, 0])


def repaint(sprites: Tensor, hue: Tensor, colour: Tensor) -> Tensor:
    """Turn the dominant hue of premultiplied sprites [N, 4, S, S] into colours [N] of COLOURS."""
    alpha = sprites[:, 3:].clamp_min(1e-4)
    before = (sprites[:, :3] / alpha).clamp(0, 1)
    h, s, v = _to_hsv(before)
    paint = _PAINT.to(sprites.device)[colour].view(-1, 5, 1, 1)
    target, gain_s, offset_v, gain_v, power_v = paint.unbind(1)
    hue = hue.view(-1, 1, 1)
    away = _turn(h - hue).abs()
    # Soft edges of the mask: near-greys and far hues (a leaf on an apple) keep their colour.
    mask = ((s - 0.06) / 0.12).clamp(0, 1) * ((75 - away) / 25).clamp(0, 1)
    turned = torch.where(target.isnan(), h, h - hue + target)
    after = _to_rgb(turned, (s * gain_s).clamp(0, 1), (offset_v + gain_v * v**power_v).clamp(0, 1))
    rgb = before + (after - before) * mask[:, None]
    return torch.cat([rgb * sprites[:, 3:], sprites[:, 3:]], 1)


def _turn(degrees: Tensor) -> Tensor:
    """The same angle within -180..180."""
    return (degrees + 180) % 360 - 180


def _to_hsv(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    high, low = rgb.amax(1), rgb.amin(1)
    spread = high - low + 1e-6
    r, g, b = rgb.unbind(1)
    hue = torch.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4)
    hue = torch.where(high == r, ((g - b) / spread) % 6, hue) * 60
    return hue, (high - low) / (high + 1e-6), high


def _to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV to RGB [N, 3, S, S], by the formula without branches."""
    shift = torch.tensor([5.0, 3.0, 1.0], device=hue.device).view(1, 3, 1, 1)
    k = (shift + (hue / 60)[:, None]) % 6
    ramp = torch.minimum(k, 4 - k).clamp(0, 1)
    return value[:, None] - (value * saturation)[:, None] * ramp
