"""Scenes drawn by program, many variants at once, at any size.

Coordinates: x and y count short sides of the picture, so a disc is round at every aspect;
v runs from 0 (top) to 1 (bottom) whatever the height, so a horizon keeps its place.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Colour = tuple[float, float, float]
_OVERSAMPLE = 2
_DAY_SKY: tuple[Colour, Colour] = ((105, 180, 245), (205, 232, 252))


def draw_scenes(width: int, height: int, variants: int, seed: int, device: str) -> Tensor:
    """Draw `variants` of every scene: uint8 [scenes, variants, 3, height, width], SCENES' order."""
    return torch.stack(
        [_draw(p, width, height, variants, seed + i, device) for i, p in enumerate(PAINTERS)]
    )


class Canvas:
    """`count` pictures painted together; random numbers come one per picture."""

    def __init__(self, width: int, height: int, count: int, seed: int, device: str) -> None:
        short = min(width, height)
        self.count, self.device = count, device
        self.right, self.bottom = width / short, height / short
        self.x = ((torch.arange(width, device=device) + 0.5) / short).view(1, 1, width)
        self.y = ((torch.arange(height, device=device) + 0.5) / short).view(1, height, 1)
        self.v = self.y / self.bottom
        self.pixels = torch.zeros(count, 3, height, width, device=device)
        self.random = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> Tensor:
        """Random numbers [count, 1, 1]."""
        drawn = torch.rand(self.count, 1, 1, generator=self.random)
        return (low + (high - low) * drawn).to(self.device)

    def chance(self, share: float) -> Tensor:
        """1 for about `share` of the pictures, else 0: [count, 1, 1]."""
        return (self.uniform(0, 1) < share).float()

    def one_of(self, colours: Sequence[Colour]) -> Tensor:
        """A random colour for each picture: [count, 3, 1, 1]."""
        chosen = torch.randint(len(colours), (self.count,), generator=self.random)
        palette = torch.tensor(colours, dtype=torch.float32, device=self.device)
        return palette[chosen.to(self.device)].view(-1, 3, 1, 1)

    def fill(self, mask: Tensor, colour: Tensor | Colour) -> None:
        """Lay a colour over the pictures where mask [count, H, W] is 1."""
        colour = _rgb(colour, self.device).expand_as(self.pixels)
        self.pixels.lerp_(colour, mask[:, None].clamp(0, 1).expand_as(self.pixels))

    def gradient(self, top: Colour, bottom: Colour, t: Tensor) -> Tensor:
        """Colours from top (t = 0) to bottom (t = 1)."""
        return torch.lerp(_rgb(top, self.device), _rgb(bottom, self.device), t[:, None].clamp(0, 1))

    def disc(
        self,
        x: Tensor,
        y: Tensor | float,
        radius: Tensor | float,
        colour: Tensor | Colour,
        strength: Tensor | float = 1.0,
        soft: float = 0.012,
    ) -> None:
        """Lay a round spot over the pictures."""
        away = torch.hypot(self.x - x, self.y - y)
        self.fill(((radius - away) / soft).clamp(0, 1) * strength, colour)

    def below(self, line: Tensor | float) -> Tensor:
        """Mask of what lies under a horizon given as v for each column."""
        return ((self.v - line) * self.pixels.shape[2] + 0.5).clamp(0, 1)

    def hill(self, level: float, swing: float, waves: float) -> Tensor:
        """A horizon that rolls: v for each column."""
        phase = self.uniform(0, 2 * math.pi)
        return level + swing * torch.sin(self.x * waves * 2 * math.pi + phase)

    def stars(self, count: int, lowest: float, colour: Colour) -> None:
        """Scatter small discs down to v = lowest."""
        for _ in range(int(count * self.right * self.bottom)):
            x, y = self.uniform(0, self.right), self.uniform(0, lowest * self.bottom)
            self.disc(x, y, self.uniform(0.004, 0.012), colour)

    def clouds(self, most: int, top: float, low: float, colour: Colour = (250, 252, 255)) -> None:
        """Puffs of three discs between v = top and v = low; each is there in most pictures."""
        for _ in range(max(1, round(most * self.right * self.bottom))):
            x, y = self.uniform(0.05, self.right), self.uniform(top, low) * self.bottom
            here, size = self.chance(0.7), self.uniform(0.8, 1.3)
            for dx, radius in ((-0.07, 0.04), (0.0, 0.06), (0.07, 0.04)):
                self.disc(x + dx * size, y, radius * size, colour, here, 0.02)


def _draw(
    painter: "Callable[[Canvas], None]",
    width: int,
    height: int,
    variants: int,
    seed: int,
    device: str,
) -> Tensor:
    canvas = Canvas(width * _OVERSAMPLE, height * _OVERSAMPLE, variants, seed, device)
    painter(canvas)
    return F.avg_pool2d(canvas.pixels, _OVERSAMPLE).round().clamp(0, 255).to(torch.uint8)


def _rgb(colour: Tensor | Colour, device: str) -> Tensor:
    if isinstance(colour, Tensor):
        return colour
    return torch.tensor(colour, dtype=torch.float32, device=device).view(1, 3, 1, 1)


def _sky(c: Canvas) -> None:
    c.fill(torch.ones_like(c.v), c.gradient(*_DAY_SKY, c.v * 1.4))


def _ground(c: Canvas, line: Tensor | float, top: Colour, bottom: Colour, start: float) -> None:
    c.fill(c.below(line), c.gradient(top, bottom, (c.v - start) / (1 - start)))


def _band(c: Canvas, centre: Tensor | float, half: float, colour: Colour) -> None:
    """A level stripe, `half` of the height to each side of v = centre."""
    c.fill((1 - ((c.v - centre).abs() - half) / 0.006).clamp(0, 1), colour)


def _box(
    c: Canvas, left: Tensor, right: Tensor, top: Tensor | float, low: Tensor | float
) -> Tensor:
    """Mask of a box: x in short sides, v in heights."""
    inside = (c.x >= left) & (c.x < right) & (c.v >= top) & (c.v < low)
    return inside.float()


def grass(c: Canvas) -> None:
    """A green hill under a day sky."""
    _sky(c)
    c.clouds(2, 0.08, 0.3)
    _ground(c, c.hill(0.62, 0.03, 0.7), (128, 204, 88), (68, 150, 60), 0.6)


def night(c: Canvas) -> None:
    """Stars over dark land, with a moon in half of the pictures."""
    c.fill(torch.ones_like(c.v), c.gradient((14, 20, 60), (56, 66, 130), c.v))
    c.stars(28, 0.7, (255, 250, 210))
    x, y = c.uniform(0.1, c.right - 0.1), c.uniform(0.1, 0.2) * c.bottom
    c.disc(x, y, 0.08, (250, 240, 200), c.chance(0.5))
    _ground(c, c.hill(0.78, 0.03, 0.8), (26, 44, 58), (16, 30, 44), 0.75)


def space(c: Canvas) -> None:
    """Stars and one planet on near-black violet."""
    slope, across = c.uniform(0, 1), c.uniform(-1, 1)
    c.fill(torch.ones_like(c.v), c.gradient((8, 6, 22), (34, 16, 66), c.x * across + c.v * slope))
    c.stars(42, 1.0, (255, 255, 255))
    planet = c.one_of([(214, 140, 90), (120, 160, 220), (200, 110, 170), (170, 200, 120)])
    low = c.chance(0.5)
    y = (low * 0.9 + (1 - low) * 0.1) * c.bottom
    c.disc(c.uniform(0.05, c.right), y, c.uniform(0.07, 0.14), planet)


def sea(c: Canvas) -> None:
    """Waves under a day sky."""
    _sky(c)
    c.clouds(2, 0.08, 0.3)
    line = 0.58 + 0.012 * torch.sin(c.x * 40 + c.uniform(0, 6))
    _ground(c, line, (50, 140, 215), (15, 70, 150), 0.58)
    for level in (0.72, 0.86):
        _band(c, level + 0.01 * torch.sin(c.x * 45 + c.uniform(0, 6)), 0.008, (110, 180, 235))


def beach(c: Canvas) -> None:
    """Sun, sea and sand."""
    _sky(c)
    c.disc(c.uniform(0.1, c.right - 0.1), 0.14 * c.bottom, 0.08, (255, 225, 90))
    c.fill(c.below(0.48), (60, 160, 215))
    _ground(c, c.hill(0.62, 0.02, 0.7), (246, 226, 166), (226, 196, 130), 0.6)


def desert(c: Canvas) -> None:
    """Two dunes under a pale sun."""
    c.fill(torch.ones_like(c.v), c.gradient((130, 195, 240), (250, 225, 180), c.v * 1.5))
    c.disc(c.uniform(0.1, c.right - 0.1), 0.16 * c.bottom, 0.08, (255, 242, 170))
    c.fill(c.below(c.hill(0.55, 0.05, 0.8)), (232, 180, 105))
    c.fill(c.below(c.hill(0.72, 0.05, 0.6)), (214, 152, 82))


def snow(c: Canvas) -> None:
    """A white field and falling flakes."""
    c.fill(torch.ones_like(c.v), c.gradient((150, 180, 212), (214, 226, 240), c.v))
    _ground(c, c.hill(0.65, 0.03, 0.6), (248, 251, 255), (232, 240, 249), 0.65)
    for _ in range(int(34 * c.right * c.bottom)):
        x, y = c.uniform(0, c.right), c.uniform(0, c.bottom)
        c.disc(x, y, c.uniform(0.006, 0.014), (255, 255, 255))


def sunset(c: Canvas) -> None:
    """A low sun behind dark land."""
    c.fill(torch.ones_like(c.v), c.gradient((90, 50, 130), (255, 150, 70), c.v * 1.6))
    c.disc(c.uniform(0.2, c.right - 0.2), 0.5 * c.bottom, 0.13, (255, 222, 115))
    _ground(c, c.hill(0.66, 0.02, 0.6), (72, 42, 70), (46, 26, 52), 0.64)


def underwater(c: Canvas) -> None:
    """Bubbles over a sandy floor."""
    c.fill(torch.ones_like(c.v), c.gradient((70, 180, 225), (10, 60, 120), c.v))
    for _ in range(int(14 * c.right * c.bottom)):
        x, y = c.uniform(0, c.right), c.uniform(0, c.bottom)
        c.disc(x, y, c.uniform(0.008, 0.024), (160, 220, 245))
    c.fill(c.below(c.hill(0.86, 0.02, 0.9)), (205, 185, 130))


def room(c: Canvas) -> None:
    """A wall with a window, a skirting board and a wooden floor."""
    walls = [(235.0, 215.0, 190.0), (200.0, 220.0, 225.0), (225.0, 205.0, 225.0)]
    c.fill(torch.ones_like(c.v), c.one_of(walls))
    _ground(c, 0.66, (176, 120, 74), (138, 90, 54), 0.66)
    _band(c, 0.66, 0.012, (250, 250, 248))
    right = c.chance(0.5)
    left = right * (c.right - 0.34) + (1 - right) * 0.08
    top, low = 0.1, 0.42
    c.fill(_box(c, left - 0.015, left + 0.275, top - 0.015, low + 0.015), (250, 250, 248))
    c.fill(_box(c, left, left + 0.26, top, low), (150, 205, 245))
    c.fill(_box(c, left + 0.12, left + 0.14, top, low), (250, 250, 248))


def city(c: Canvas) -> None:
    """Lit towers behind a road."""
    _sky(c)
    walls = [
        (120.0, 130.0, 150.0),
        (150.0, 140.0, 150.0),
        (95.0, 110.0, 135.0),
        (170.0, 155.0, 150.0),
    ]
    left, street = c.uniform(-0.05, 0.0), 0.72
    lit = ((c.v * 32 * c.bottom) % 2 < 1) & ((c.x * 40) % 2 < 1)
    for _ in range(int(11 * c.right)):
        wide, tall = c.uniform(0.1, 0.19), c.uniform(0.2, 0.5)
        c.fill(_box(c, left, left + wide, street - tall, street), c.one_of(walls))
        inner = _box(c, left + 0.02, left + wide - 0.02, street - tall + 0.03, street - 0.03)
        c.fill(inner * lit, (246, 236, 172))
        left = left + wide
    c.fill(c.below(street), (85, 88, 95))
    dashes = ((c.x * 6) % 1 < 0.55).float()
    c.fill(((c.v - 0.86).abs() < 0.012) * dashes, (245, 240, 220))


def mountains(c: Canvas) -> None:
    """Two snow-capped peaks behind a meadow."""
    _sky(c)
    c.clouds(1, 0.06, 0.2)
    for low, high, rise, rock in (
        (0.1, 0.45, 0.5, (125, 135, 160)),
        (0.55, 0.9, 0.56, (105, 115, 145)),
    ):
        centre = c.uniform(low, high) * c.right
        slope = (c.x - centre).abs() * 1.2 / c.bottom + (c.x * 37).sin() * 0.008
        c.fill(c.below(0.72 - rise + slope), rock)
        c.fill(
            c.below(0.72 - rise + slope)
            * (1 - c.below(0.72 - rise + 0.12 + 0.02 * (c.x * 50).sin())),
            (250, 252, 255),
        )
    _ground(c, c.hill(0.68, 0.02, 0.8), (104, 172, 92), (66, 136, 66), 0.66)


def rain(c: Canvas) -> None:
    """Slanted drops under grey clouds."""
    c.fill(torch.ones_like(c.v), c.gradient((110, 125, 145), (160, 170, 182), c.v))
    c.clouds(4, 0.04, 0.16, (186, 193, 201))
    _ground(c, 0.75, (96, 111, 121), (78, 92, 104), 0.75)
    for _ in range(int(38 * c.right * c.bottom)):
        x, y = c.uniform(0, c.right), c.uniform(0, c.bottom)
        drop = ((c.x - x + (c.y - y) * 0.2).abs() < 0.006) & ((c.y - y).abs() < 0.03)
        c.fill(drop.float(), (196, 219, 242))


def clouds(c: Canvas) -> None:
    """Puffs all over a blue sky."""
    c.fill(torch.ones_like(c.v), c.gradient((100, 175, 245), (190, 225, 250), c.v))
    c.clouds(11, 0.05, 1.0)


def forest(c: Canvas) -> None:
    """Trunks and crowns behind dark moss."""
    c.fill(torch.ones_like(c.v), c.gradient((168, 210, 178), (112, 168, 124), c.v))
    floor = c.hill(0.7, 0.02, 0.7)
    for i in range(int(8 * c.right)):
        x, shade = c.uniform(-0.03, 0.05) + i * 0.14, c.uniform(0.75, 1.1)[:, None]
        half = c.uniform(0.014, 0.024)
        c.fill(_box(c, x - half, x + half, 0.2, 0.75), (104, 74, 52))
        crown = _rgb((46, 112, 62), c.device) * shade
        c.disc(x, c.uniform(0.02, 0.3) * c.bottom, c.uniform(0.12, 0.17), crown)
    _ground(c, floor, (86, 128, 62), (56, 92, 46), 0.68)


def table(c: Canvas) -> None:
    """A wooden table top before a soft wall."""
    walls = [(222.0, 232.0, 236.0), (238.0, 228.0, 212.0), (216.0, 228.0, 214.0)]
    c.fill(torch.ones_like(c.v), c.one_of(walls))
    _ground(c, 0.56, (206, 152, 98), (176, 120, 70), 0.56)
    _band(c, 0.562, 0.008, (232, 186, 134))
    for level in (0.7, 0.85):
        _band(c, level + 0.004 * torch.sin(c.x * 9 + c.uniform(0, 6)), 0.004, (160, 106, 62))


PAINTERS: tuple[Callable[[Canvas], None], ...] = (
    grass,
    night,
    space,
    sea,
    beach,
    desert,
    snow,
    sunset,
    underwater,
    room,
    city,
    mountains,
    rain,
    clouds,
    forest,
    table,
)
