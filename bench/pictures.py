"""Time whole pictures, prompt in to PNG bytes out, beside diffusers in the same run.

`python -m bench.pictures --out rows.jsonl [--rivals] [--only NAME]`. Random weights at the real
size: the arithmetic, and so the time and the memory, are those of Z-Image-Turbo.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.environment import environment
from bench.workload import REST_S, WORKLOADS, Workload, median_ms, prompt
from mezzotint import Engine, Request
from mezzotint.engine.stats import stage_totals
from mezzotint.kernels import harness

Row = dict[str, Any]


def main() -> int:
    options = _options()
    if not torch.cuda.is_available():
        print("no NVIDIA GPU is visible to torch: run this on a machine with one", file=sys.stderr)
        return 1
    workloads = [w for w in WORKLOADS if options.only in (None, w.name)]
    about = environment("bench.pictures") | {"rest_s": REST_S}
    flops = harness.measure_ceilings(torch.device("cuda", 0)).flops_per_s
    print(f"{about['gpu']}, torch {about['torch']}, bf16 product {flops / 1e12:.0f} TFLOP/s")
    print(f"{'system':22}{'workload':18}{'ms':>9}{'GiB':>7}{'of limit':>9}  stages, ms")
    for row in _rows(workloads, options.rivals):
        row |= {"ceiling_flops_per_s": flops}
        row["fraction_of_limit"] = row["tflop"] * 1e15 / flops / row["ms"]
        stages = " ".join(f"{k} {v:.1f}" for k, v in row.get("stage_ms", {}).items())
        print(
            f"{row['system']:22}{row['workload']:18}{row['ms']:9.1f}"
            f"{row['peak_bytes'] / 2**30:7.1f}{row['fraction_of_limit']:9.0%}  {stages}",
            flush=True,
        )
        if options.out is not None:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(about | row) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__)
    parser.add_argument("--rivals", action="store_true", help="time diffusers in the same run")
    parser.add_argument("--only", help="one workload, by name")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    return parser.parse_args()


def _rows(workloads: list[Workload], rivals: bool) -> Iterator[Row]:
    costs: dict[str, float] = {}
    for row in _engine(workloads, graphs=True):
        costs[row["workload"]] = row["tflop"]
        yield row
    if rivals:
        yield from _diffusers(workloads, costs)
    yield from _engine(workloads[:2], graphs=False)  # to see what graphs are worth


def _engine(workloads: list[Workload], graphs: bool) -> Iterator[Row]:
    with Engine(random_weights="z-image-turbo", device="cuda", graphs=graphs, slots=2) as engine:
        for workload in workloads:
            yield _ours(engine, workload, "mezzotint" if graphs else "mezzotint, no graphs")
    del engine
    _free()


def _ours(engine: Engine, workload: Workload, system: str) -> Row:
    def request(text: str) -> Request:
        return Request(
            prompt=text,
            width=workload.width,
            height=workload.height,
            steps=workload.steps,
            guidance=workload.guidance,
            seed=0,
        )

    torch.cuda.reset_peak_memory_stats()
    ms = median_ms(lambda text: engine.submit(request(text)).result().data, workload)
    ticket = engine.submit(request(prompt(9)))
    image = ticket.result()
    return {
        "system": system,
        "precision": engine.provenance.precision,
        "workload": workload.name,
        "ms": ms,
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "stage_ms": stage_totals(image.spans),
        "tflop": engine.spec.cost(ticket.recipe) * workload.steps,
    }


def _diffusers(workloads: list[Workload], costs: dict[str, float]) -> Iterator[Row]:
    from importlib.metadata import version

    from bench.rivals import diffusers_eager as rival

    pipeline = rival.build()
    for workload in workloads:
        torch.cuda.reset_peak_memory_stats()
        to_pil_ms: list[float] = []
        ms = median_ms(rival.maker(pipeline, workload, to_pil_ms), workload)
        yield {
            "system": f"diffusers {version('diffusers')}",
            "precision": "bf16",
            "workload": workload.name,
            "ms": ms,
            "to_pil_ms": statistics.median(to_pil_ms[-workload.repeats :]),
            "peak_bytes": torch.cuda.max_memory_allocated(),
            "tflop": costs[workload.name],
        }
    del pipeline
    _free()


def _free() -> None:
    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
