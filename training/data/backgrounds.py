"""Backgrounds: plain colours and drawn scenes, with their words in both languages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plain:
    """A plain background: its colour words and its RGB."""

    english: str
    chinese: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """A drawn background; `ground` says that things stand on something and throw a shadow."""

    english: tuple[str, ...]
    chinese: tuple[str, ...]
    ground: bool


PLAINS = (
    Plain("white", "白", (255, 255, 255)),
    Plain("black", "黑", (20, 20, 24)),
    Plain("gray", "灰", (150, 152, 156)),
    Plain("red", "红", (220, 50, 50)),
    Plain("orange", "橙", (245, 150, 50)),
    Plain("yellow", "黄", (250, 220, 80)),
    Plain("green", "绿", (90, 190, 100)),
    Plain("blue", "蓝", (80, 140, 235)),
    Plain("light blue", "浅蓝", (170, 215, 250)),
    Plain("purple", "紫", (150, 95, 210)),
    Plain("pink", "粉", (250, 165, 200)),
    Plain("brown", "棕", (140, 95, 65)),
)
WHITE = 0  # index in PLAINS of the background that needs no words

SCENES = (
    Scene(("on green grass", "on the grass", "in a meadow"), ("草地上", "绿色的草地上"), True),
    Scene(("at night", "at night under the stars", "under the stars"), ("星空下", "夜空下"), True),
    Scene(("in space", "in outer space"), ("太空中", "太空里", "宇宙中"), False),
    Scene(("at sea", "on the sea", "on the ocean"), ("海上", "大海上", "海面上"), False),
    Scene(("on the beach", "on a sandy beach"), ("沙滩上", "海滩上"), True),
    Scene(("in the desert", "in a desert"), ("沙漠里", "沙漠中"), True),
    Scene(("in the snow", "on the snow"), ("雪地里", "雪地上", "雪中"), True),
    Scene(("at sunset", "in the sunset"), ("夕阳下", "落日下"), True),
    Scene(("underwater", "under the water", "under the sea"), ("水下", "海底"), False),
    Scene(("in a room", "indoors"), ("房间里", "屋子里"), True),
    Scene(("in the city", "on a city street"), ("城市里", "城市的街道上"), True),
    Scene(("in the mountains", "in front of mountains"), ("山里", "群山中"), True),
    Scene(("in the rain", "on a rainy day"), ("雨中", "雨里"), True),
    Scene(("in the clouds", "in the sky"), ("云中", "天空中", "云朵里"), False),
    Scene(("in a forest", "in the forest", "in the woods"), ("森林里", "树林里"), True),
    Scene(("on a table", "on a wooden table"), ("桌子上", "木桌上"), True),
)
NUM_BACKGROUNDS = len(PLAINS) + len(SCENES)
