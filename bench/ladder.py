"""The techniques one by one: what each adds in speed, costs in memory and changes in the picture.

`python -m bench.ladder [--rungs NAME,...] [--out rows.jsonl]`. Random weights at the real size;
fidelity is the bundled model's, against float32 in plain operations. Every rung is the engine with
what is above it switched off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from bench.environment import environment, need_gpu
from bench.pictures import names_of, sentence
from bench.rows import Row, append
from bench.workload import AT_ONCE, SINGLE
from mezzotint import Engine
from mezzotint import kernels as operations
from mezzotint.kernels.attention import cuda as cuda_attention
from mezzotint.kernels.attention import reference as plain_attention
from mezzotint.measure.fidelity import compare_pictures, draw
from mezzotint.measure.gpu import let_go
from mezzotint.measure.prompts import fidelity_prompts
from mezzotint.measure.timing import Timing, by_engine, measure
from mezzotint.measure.workload import Workload, new_prompts

FIDELITY_PROMPTS = 16
REPEATS = 3
SERIAL = {"slots": 1, "graphs": False, "deterministic": True}
WORKLOADS = (*SINGLE[:2], AT_ONCE[-1])

Off = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Rung:
    """One technique more than the rung before."""

    name: str
    options: dict[str, Any]
    off: tuple[Off, ...] = field(default=())  # what is switched off around the engine


def _plain_operations() -> AbstractContextManager[object]:
    """Every operation as its formula in torch, launch by launch."""
    return patch.object(operations, "_on_gpu", lambda _: False)


def _plain_attention() -> AbstractContextManager[object]:
    """torch's own choice of an attention, segment by segment."""
    return patch.object(cuda_attention, "attention", _torchs_attention)


def _torchs_attention(*inputs: Any, backend: object = None) -> torch.Tensor:
    return plain_attention.attention(*inputs)


def _no_inference_mode() -> AbstractContextManager[object]:
    return patch.object(torch, "inference_mode", torch.no_grad)


OVERLAP = {"precision": "bf16", "deterministic": True}
RUNGS = (
    Rung(
        "eager",
        SERIAL | {"precision": "bf16"},
        (_plain_operations, _plain_attention, _no_inference_mode),
    ),
    Rung("inference mode", SERIAL | {"precision": "bf16"}, (_plain_operations, _plain_attention)),
    Rung("fused kernels", SERIAL | {"precision": "bf16"}),
    Rung("graphs", SERIAL | {"precision": "bf16", "graphs": True}),
    Rung("overlap", OVERLAP),
    Rung("packing", OVERLAP | {"deterministic": False}),
    Rung("FP8", {"precision": "fp8"}),
    Rung("FP8 attention", {"precision": "fp8", "attention": "fp8"}),
)
NAMES = tuple(rung.name for rung in RUNGS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ladder", description=__doc__)
    parser.add_argument("--rungs", type=partial(names_of, NAMES), default=list(NAMES))
    parser.add_argument("--commit", help="of the measured tree, for a copy without history")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    need_gpu()
    about = environment("bench.ladder", options.commit)
    print(f"{about['gpu']}, torch {about['torch']}")
    rungs = [rung for rung in RUNGS if rung.name in options.rungs]
    for row in climb(rungs, WORKLOADS, "cuda", {"random_weights": "z-image-turbo"}):
        append(options.out, about | row)
        print(line(row), flush=True)
    return 0


def climb(
    rungs: Sequence[Rung], workloads: Sequence[Workload], device: str, model: dict[str, Any]
) -> Iterator[Row]:
    """A row a rung; one that fails says so."""
    prompts = fidelity_prompts(FIDELITY_PROMPTS)
    with _off((_plain_operations, _plain_attention)):
        truth = draw({"device": device, "precision": "fp32"} | SERIAL, prompts, {})
    for rung in rungs:
        row: Row = {"rung": rung.name, "place": NAMES.index(rung.name), "options": rung.options}
        try:
            with _off(rung.off):
                row |= _speed(rung, workloads, {"device": device} | model)
                row |= _fidelity(rung, device, prompts, truth)
        except Exception as error:  # the other rungs are still worth measuring
            row["error"] = sentence(error)
        yield row
        let_go()


def line(row: Row) -> str:
    """A row for reading."""
    if "error" in row:
        return f"{row['rung']:16}FAILED: {row['error']}"
    times = "  ".join(f"{name} {ms:.1f} ms" for name, ms in row["ms"].items())
    memory = f"{row['peak_bytes'] / 2**30:.2f} GiB" if row["peak_bytes"] else ""
    psnr = "equal" if row["median_psnr_db"] is None else f"{row['median_psnr_db']:.1f} dB"
    return f"{row['rung']:16}{times}  {row['images_per_s']:.2f} img/s  {memory}  {psnr} to fp32"


def _speed(rung: Rung, workloads: Sequence[Workload], place: dict[str, Any]) -> Row:
    prompts = new_prompts()
    with Engine(**place | rung.options) as engine:
        timings: dict[str, Timing] = {
            w.name: measure(by_engine(engine), _short(w), prompts) for w in workloads
        }
    peaks = [t.peak_bytes for t in timings.values() if t.peak_bytes is not None]
    return {
        "ms": {name: timing.ms for name, timing in timings.items()},
        "images_per_s": timings[workloads[-1].name].images_per_s,
        "at_once": workloads[-1].at_once,
        "peak_bytes": max(peaks, default=None),
    }


def _short(workload: Workload) -> Workload:
    """Fewer repeats: there are many rungs."""
    repeats = 1 if workload.at_once > 1 else REPEATS
    return Workload(**vars(workload) | {"repeats": repeats, "warm_steps": 3})


def _fidelity(
    rung: Rung, device: str, prompts: Sequence[str], truth: Sequence[np.ndarray]
) -> Row:  # fmt: skip
    pictures = draw({"device": device} | rung.options, prompts, {})
    return compare_pictures(prompts, truth, pictures).row()


def _off(switches: Sequence[Off]) -> AbstractContextManager[object]:
    stack = ExitStack()
    for switch in switches:
        stack.enter_context(switch())
    return stack if switches else nullcontext()


if __name__ == "__main__":
    sys.exit(main())
