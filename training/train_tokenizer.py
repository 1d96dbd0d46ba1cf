"""Train the tokenizer on sampled captions of both languages and on every name."""

import argparse
from pathlib import Path
from random import Random

from training.data import art, chinese, english
from training.data.plan import sample_plan
from training.data.render import know
from training.model import Sizes
from training.tokenizer import train_tokenizer

_NAME_REPEATS = 12


def main(arguments: list[str] | None = None) -> None:
    """Command line: write the tokenizer folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--out", type=Path, default=Path("training/work/tokenizer"))
    parser.add_argument("--captions", type=int, default=40_000, help="in each language")
    parser.add_argument("--vocabulary", type=int, default=Sizes().vocabulary)
    options = parser.parse_args(arguments)
    world, _ = know(art.load(options.art))
    random = Random(0)
    captions = [n for s in world.subjects for n in s.english + s.chinese] * _NAME_REPEATS
    for i in range(options.captions):
        plan, long = sample_plan(world, random), i % 10 == 0
        captions.append(english.caption(world, plan, random, long))
        captions.append(chinese.caption(world, plan, random, long))
    captions += ["user\n", "assistant\n"] * 2000
    train_tokenizer(captions, options.vocabulary, options.out)
    print(f"{options.out}: {options.vocabulary} tokens from {len(captions)} captions")


if __name__ == "__main__":
    main()
