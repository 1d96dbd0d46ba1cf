"""Contact sheets: what the model draws, laid out for the eye."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.captions import SIZE_SHARES
from training.data import art
from training.data.render import know
from training.device import choose_device
from training.evaluate import Trial, prompts_for
from training.painter import Painter, Recipe, load_painter, paint

_GAP = 4
_SQUARE = (128, 128)
SEEN = (
    "a red apple on green grass", "a cat next to a dog", "three yellow stars",
    "a penguin in the snow", "a rocket in space", "a blue car in the city", "an owl at night",
    "a sailboat at sea", "a pizza on a table", "a castle in the mountains", "a dolphin underwater",
    "a robot", "a fox in a forest", "a pink donut on a light blue background",
    "a cactus in the desert", "two butterflies in the sky", "a cup of coffee on a wooden table",
    "a dinosaur", "a crab on the beach", "a house in the snow", "a purple umbrella in the rain",
    "a kite in the clouds", "a guitar in a room", "a panda on a pink background",
    "flat icon of a bicycle", "cartoon of a lion on green grass", "a green frog on the left",
    "four bananas", "a tiny ladybug on green grass", "a big sunflower on a blue background",
    "a tiger above a whale", "a snowman at sunset",
)  # fmt: skip
CHINESE = (
    "一个红苹果", "绿色草地上的一只猫", "一只猫和一只狗", "三颗黄色的星星", "雪地里的一只企鹅",
    "太空中的一枚火箭", "城市里的一辆蓝色汽车", "星空下的一只猫头鹰", "大海上的一艘帆船",
    "桌子上的一块披萨", "一座城堡，粉色背景", "水下的一只海豚", "一个机器人", "森林里的一只狐狸",
    "一朵红玫瑰", "森林里的一只熊猫", "沙漠里的一棵仙人掌", "天空中的两只蝴蝶", "一杯咖啡",
    "沙滩上的一只螃蟹", "雨中的一把紫色雨伞", "扁平风格的一辆自行车", "卡通风格，一头狮子",
    "四根香蕉",
)  # fmt: skip
SIZES = ("a fox in a forest", "a red car on the beach", "two cats", "a castle in the mountains")


def draw_sheets(painter: Painter, options: argparse.Namespace) -> None:
    """Write the five sheets under --out."""
    world, _ = know(art.load(options.art))
    held_out = Trial("held-out", held_out=True)
    _, unseen = prompts_for(world, painter.tokenizer, held_out, 32, Random(options.seed))
    seed, most = options.seed, 2 if options.smoke else 32

    def row(prompts: Sequence[str], columns: int, size: tuple[int, int], steps: int) -> np.ndarray:
        drawn = paint(painter, list(prompts[:most]), *size, Recipe(steps), seed)
        return _grid(drawn, columns)

    for name, prompts in (("seen", SEEN), ("held-out", unseen), ("chinese", CHINESE)):
        _write(row(prompts, 8, _SQUARE, Recipe().steps), options.out / f"{name}.png")
    rows = [row(SIZES, 4, size, Recipe().steps) for size in SIZE_SHARES]
    _write(_stack(rows), options.out / "sizes.png")
    counts = [row(SEEN[:8], 8, _SQUARE, steps) for steps in (2, 4, 8, 20)]
    _write(_stack(counts), options.out / "steps.png")
    (options.out / "held-out.txt").write_text("\n".join(unseen) + "\n", encoding="utf-8")


def _grid(pictures: Tensor, columns: int) -> np.ndarray:
    """Pictures [N, 3, H, W] in rows on white, uint8 [rows * H, columns * W, 3] with gaps."""
    tiles = (pictures.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)
    count, height, width = tiles.shape[:3]
    rows = -(-count // columns)
    sheet = np.full((rows * (height + _GAP), columns * (width + _GAP), 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (height + _GAP), i % columns * (width + _GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet


def _stack(sheets: list[np.ndarray]) -> np.ndarray:
    widest = max(s.shape[1] for s in sheets)
    pad = [
        np.pad(s, ((0, 0), (0, widest - s.shape[1]), (0, 0)), constant_values=255) for s in sheets
    ]
    return np.concatenate(pad)


def _write(sheet: np.ndarray, path: Path) -> None:
    Image.fromarray(sheet).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--tokenizer", type=Path, default=Path("training/work/tokenizer"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"))
    parser.add_argument("--phase", default="student", choices=("student", "dit"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args(arguments)
    painter = load_painter(
        options.out, options.phase, options.tokenizer, choose_device(), options.smoke
    )
    torch.set_grad_enabled(False)
    draw_sheets(painter, options)


if __name__ == "__main__":
    main()
