"""What sharing a forward is worth: images a second by how much arithmetic one pack may hold.

`python -m bench.packing [--precision fp8] [--out rows.jsonl]`. Random weights at the real size;
16 and 4 requests at once at 512 x 512, one engine whose limit is changed between measurements.
Its best limit belongs in the table of `mezzotint/engine/cost.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.environment import environment, need_gpu
from bench.rows import Row, append
from bench.workload import AT_ONCE
from mezzotint import Engine
from mezzotint.engine.unheld import give_back
from mezzotint.measure.timing import by_engine, measure
from mezzotint.measure.workload import Workload, new_prompts

PER_PACK = (1, 2, 4, 8, 16)  # pictures of 512 x 512 that a limit lets share a forward
STEP_TFLOP = 12.86  # of one of them
WORKLOADS = tuple(w for w in AT_ONCE if w.at_once in (4, 16))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.packing", description=__doc__)
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp8"))
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--commit", help="of the measured tree, for a copy without history")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    need_gpu()
    about = environment("bench.packing", options.commit)
    print(f"{about['gpu']}, torch {about['torch']}, {options.precision}")
    print(f"{'limit, TFLOP':>14}{'at once':>9}{'ms':>10}{'images/s':>10}{'GiB':>7}")
    engine_options = {"precision": options.precision, "slots": options.slots}
    with Engine(random_weights="z-image-turbo", device="cuda", **engine_options) as engine:
        for row in sweep(engine, PER_PACK, WORKLOADS):
            append(options.out, about | engine_options | row)
            print(
                f"{row['pack_tflop']:14.1f}{row['at_once']:9}{row['ms']:10.1f}"
                f"{row['images_per_s']:10.2f}{(row['peak_bytes'] or 0) / 2**30:7.2f}",
                flush=True,
            )
    return 0


def sweep(
    engine: Engine, per_pack: tuple[int, ...], workloads: tuple[Workload, ...]
) -> Iterator[Row]:
    """Time each workload under each limit; the engine must be idle."""
    prompts = new_prompts()
    for pictures in per_pack:
        limit = 0.0 if pictures == 1 else pictures * STEP_TFLOP
        engine._scheduler.limits = replace(engine._scheduler.limits, pack_tflop=limit, pack_from=0)
        for workload in workloads:
            if pictures <= workload.at_once:
                row = measure(by_engine(engine), workload, prompts).row()
                yield row | {"pack_tflop": limit, "at_once": workload.at_once}
        give_back()


if __name__ == "__main__":
    sys.exit(main())
