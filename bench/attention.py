"""Time attention's backends at the sizes that matter, for the table in kernels/attention/cuda.py.

`python -m bench.attention --out rows.jsonl`. Each time is a launch inside a CUDA graph of
eight; the error is against float32 attention of the same bf16 inputs. fp8 is our own kernel with
its pass over v; q and k come to it in e4m3.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from bench.environment import environment, need_gpu
from bench.rows import append
from mezzotint.kernels import attention_fp8
from mezzotint.kernels.attention import cuda
from mezzotint.kernels.attention.backend import Backend, has_fa4
from mezzotint.kernels.fp8 import saturate
from mezzotint.kernels.harness import graph_ms
from mezzotint.kernels.segments import Segments

HEADS, HEAD_DIM, CALLS = 30, 128, 8
BACKENDS = (*(backend for backend in get_args(Backend) if backend != "efficient"), "fp8")
LENGTHS: tuple[tuple[int, ...], ...] = (
    (64,),
    (320,),
    (576,),
    (1088,),
    (2368,),
    (4160,),
    (16448,),
    (1088,) * 4,
    (4160, 4160),
    (4128, 4160),
    (1088, 2368, 320, 576),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.attention", description=__doc__)
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    need_gpu()
    about = environment("bench.attention")
    print(f"{about['gpu']}; TFLOP/s in a graph, error")
    for lengths in LENGTHS:
        rows = [_row(lengths, backend) for backend in BACKENDS]
        cells = (
            f"{r['backend']} {r['flops_per_s'] / 1e12:5.0f} {r['error']:.1e}"
            if "ms" in r
            else f"{r['backend']} {r['failed'][:70]}"
            for r in rows
        )
        print(f"{'+'.join(map(str, lengths)):24}", "   ".join(cells), flush=True)
        for row in rows:
            append(options.out, about | row)
    return 0


def _row(lengths: tuple[int, ...], backend: str) -> dict[str, Any]:
    row: dict[str, Any] = {"op": "attention", "lengths": lengths, "backend": backend}
    if backend == "fa4" and not has_fa4():
        return row | {"failed": "flash-attn-4 is not installed"}
    device = torch.device("cuda", 0)
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(sum(lengths), HEADS, HEAD_DIM, device=device, generator=generator).bfloat16()
        for _ in range(3)
    )
    segments = Segments.of(lengths, device)
    run = _attention(backend, q, k, v, segments)
    try:
        ms = _call_ms(run)
        y = run()
    except Exception as error:  # a backend that cannot do it is a row that says so
        return row | {"failed": f"{type(error).__name__}: {error}"}
    truth = cuda.attention(q.float(), k.float(), v.float(), segments)
    num_flops = 4 * HEADS * HEAD_DIM * sum(n * n for n in lengths)
    return row | {
        "ms": ms,
        "flops_per_s": num_flops / ms * 1e3,
        "error": ((y.float() - truth).norm() / truth.norm()).item(),
    }


def _attention(
    backend: str, q: Tensor, k: Tensor, v: Tensor, segments: Segments
) -> Callable[[], Tensor]:
    if backend == "fp8":  # q and k come in e4m3 from the operation before
        return partial(attention_fp8, saturate(q), saturate(k), v, segments)
    return partial(cuda.attention, q, k, v, segments, backend=cast("Backend", backend))


def _call_ms(run: Callable[[], Tensor]) -> float:
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [run() for _ in range(CALLS)]
    ms = graph_ms(graph, 10)
    del kept
    return ms / CALLS


if __name__ == "__main__":
    sys.exit(main())
