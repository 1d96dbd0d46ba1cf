"""Export: the run as a folder in diffusers' layout, with card, notice, subjects, checksums."""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline
from diffusers.models.transformers.transformer_z_image import ZSingleStreamAttnProcessor
from transformers import AutoTokenizer

from training.captions import SIZE_SHARES
from training.card import write_card
from training.data import art
from training.data.art import STYLES
from training.data.backgrounds import PLAINS, SCENES
from training.data.colour import COLOURS
from training.data.render import know
from training.painter import Painter, Recipe, load_painter
from training.sampler import SHIFT

_LIMIT_BYTES = 40_000_000
_SHEETS = ("seen", "held-out", "chinese", "sizes", "steps")


def export(painter: Painter, options: argparse.Namespace) -> None:
    """Write the model folder; weights over 40 MB are an error."""
    folder: Path = options.model
    pipeline = _pipeline(painter, options.tokenizer)
    pipeline.save_pretrained(folder, max_shard_size="14MB")
    weights = sum(p.stat().st_size for p in folder.rglob("*.safetensors"))
    if weights > _LIMIT_BYTES:
        raise ValueError(
            f"the weights take {weights} bytes, the limit is {_LIMIT_BYTES}; shrink Sizes"
        )
    world, _ = know(art.load(options.art))
    (folder / "subjects.json").write_text(_subjects(world), encoding="utf-8")
    shutil.copy(Path(__file__).with_name("NOTICE"), folder / "NOTICE")
    for sheet in _SHEETS:
        if (options.out / f"{sheet}.png").exists():
            shutil.copy(options.out / f"{sheet}.png", folder / f"{sheet}.png")
    write_card(folder, options.out)
    _checksums(folder)
    print(f"{folder}: weights {weights / 1e6:.1f} MB", flush=True)


def _pipeline(painter: Painter, tokenizer: Path) -> ZImagePipeline:
    model = painter.transformer
    for block in (*model.layers, *model.noise_refiner, *model.context_refiner):
        block.attention.processor = ZSingleStreamAttnProcessor()
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=SHIFT, use_dynamic_shifting=False
    )
    parts = (painter.vae, painter.text_encoder, model)
    vae, encoder, model = (p.to("cpu", torch.bfloat16) for p in parts)
    vae.to(memory_format=torch.contiguous_format)
    return ZImagePipeline(scheduler, vae, encoder, AutoTokenizer.from_pretrained(tokenizer), model)


def _subjects(world) -> str:
    """What the model knows, one subject a line: English names, Chinese names, takes a colour."""
    rows = [
        [list(s.english), list(s.chinese), takes]
        for s, takes in zip(world.subjects, world.paintable, strict=True)
    ]
    head = {
        "recipe": {"steps": Recipe().steps, "guidance": Recipe().guidance},
        "sizes": [list(size) for size in SIZE_SHARES],
        "styles": list(STYLES),
        "colours": list(COLOURS),
        "plain_backgrounds": [[p.english, p.chinese + "色背景"] for p in PLAINS],
        "scenes": [[list(s.english), list(s.chinese)] for s in SCENES],
    }
    lines = [f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}," for k, v in head.items()]
    body = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows)
    return "{\n" + "\n".join(lines) + f'\n "subjects": [\n{body}\n ]\n}}\n'


def _checksums(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}"
        for p in files
    ]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--tokenizer", type=Path, default=Path("training/work/tokenizer"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"), help="the run")
    parser.add_argument("--model", type=Path, default=Path("training/work/run/model"))
    parser.add_argument("--phase", default="student", choices=("student", "dit"))
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args(arguments)
    export(
        load_painter(options.out, options.phase, options.tokenizer, "cpu", options.smoke), options
    )


if __name__ == "__main__":
    main()
