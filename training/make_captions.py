"""Plan, lay out and caption the training pictures; runs beside the VAE's training, on the CPU."""

import argparse
import time
from pathlib import Path

from training.captions import SIZE_SHARES, write_captions
from training.data import art
from training.data.render import know


def main(arguments: list[str] | None = None) -> None:
    """Command line: write one file a size under --out/captions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--art", type=Path, default=Path("training/work/art.zip"))
    parser.add_argument("--tokenizer", type=Path, default=Path("training/work/tokenizer"))
    parser.add_argument("--out", type=Path, default=Path("training/work/run"))
    parser.add_argument("--pictures", type=int, default=600_000)
    parser.add_argument("--seed", type=int, default=100)
    options = parser.parse_args(arguments)
    world, _ = know(art.load(options.art))
    start = time.monotonic()
    for seed, (size, share) in enumerate(SIZE_SHARES.items(), options.seed):
        count = max(8, int(options.pictures * share))
        write_captions(world, options.tokenizer, count, size, seed, options.out / "captions")
        print(f"captions {size}: {count}, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
