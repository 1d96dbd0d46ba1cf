"""Time every operation beside plain torch and beside the device's own ceilings.

`python -m bench.kernels --check --out rows.jsonl` runs the GPU tests of the kernels first and
stops where they fail. `--compile` adds torch.compile of each reference as a rival. `--sweep` tries
launch shapes instead and prints the best, for the LAUNCHES tables beside the kernels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bench.environment import ROOT, environment, need_gpu
from bench.rows import append
from mezzotint import kernels
from mezzotint.kernels import Segments, harness
from mezzotint.kernels.case import Case
from mezzotint.kernels.harness import Ceilings, Timing

GPU = torch.device("cuda", 0)
FOLDERS = {  # of operations that share one
    "residual_norm_modulate": "residual_norm",
    "group_norm_affine": "group_norm_silu",
}
NEW_LENGTHS = (1120, 2144, 4192)  # tokens that no case has: attention meets them first below


def main() -> int:
    options = _options()
    need_gpu()
    if options.check and (code := _run_tests()):
        return code
    about = environment("bench.kernels")
    ceilings = harness.measure_ceilings(GPU)
    print(f"{about['gpu']}, torch {about['torch']}, triton {about['triton']}")
    print(f"copy {ceilings.bytes_per_s / 1e12:.2f} TB/s, ", end="")
    print(f"bfloat16 product {ceilings.flops_per_s / 1e12:.0f} TFLOP/s")
    ops = (c for c in harness.CASES if not c.small and options.op in (None, c.op))
    cases = [case for case in ops if options.case in case.name]
    rows = _sweep(cases, ceilings) if options.sweep else _bench(cases, ceilings, options.compile)
    _write(rows, about, ceilings, options.out)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=__doc__)
    parser.add_argument("--check", action="store_true", help="run the kernels' GPU tests first")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too")
    parser.add_argument("--sweep", action="store_true", help="try launch shapes, print the best")
    parser.add_argument("--op", help="one operation only, by name")
    parser.add_argument(
        "--case", default="", help="cases whose names contain this, as in --case=-64"
    )
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    return parser.parse_args()


def _run_tests() -> int:
    tests = ROOT / "tests" / "gpu" / "test_kernels_gpu.py"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", "--maxfail=12", str(tests)],
        cwd=ROOT,
        check=False,
    ).returncode


def _bench(cases: Iterable[Case], ceilings: Ceilings, compiled: bool) -> Iterator[dict[str, Any]]:
    print(f"{'operation':24}{'case':24}{'us':>9}{'rate':>14}{'of limit':>9}", end="")
    print(f"{'plain us':>10}{'ratio':>7}" + (f"{'compiled':>10}{'ratio':>7}" if compiled else ""))
    for case in cases:
        ours = harness.time(case, GPU, ceilings)
        row = _row(case, ours)
        line = f"{case.op:24}{case.name:24}{ours.ms * 1e3:9.1f}{_rate(case, ours):>14}"
        line += f"{ours.fraction_of_limit:9.0%}"
        if not case.library:
            row["plain_ms"] = harness.time(case, GPU, ceilings, run=case.formula).ms
            line += _beside(row["plain_ms"], ours)
        if compiled and not case.library:
            row["compiled_ms"] = harness.time(case, GPU, ceilings, run=_compiled(case)).ms
            line += _beside(row["compiled_ms"], ours)
        print(line, flush=True)
        yield row
    yield from _first_calls()


def _beside(ms: float, ours: Timing) -> str:
    return f"{ms * 1e3:10.1f}{ms / ours.ms:6.2f}x"


def _sweep(cases: Iterable[Case], ceilings: Ceilings) -> Iterator[dict[str, Any]]:
    for case in cases:
        if case.library:
            continue
        folder = f"mezzotint.kernels.{FOLDERS.get(case.op, case.op)}"
        kernel = getattr(import_module(f"{folder}.triton"), case.op)
        now = harness.time(case, GPU, ceilings).ms
        found: list[tuple[float, Any]] = []
        for launch in import_module(f"{folder}.cases").SWEEP:
            timing = harness.time(case, GPU, ceilings, run=partial(kernel, launch=launch))
            found.append((timing.ms, launch))
            yield _row(case, timing) | asdict(launch)
        found.sort(key=lambda pair: pair[0])
        best = ", ".join(f"{tuple(asdict(x).values())} {ms * 1e3:.1f}" for ms, x in found[:4])
        print(f"{case.op:24}{case.name:24}now {now * 1e3:.1f} us; best {best}", flush=True)


def _compiled(case: Case) -> harness.Operation:
    torch._dynamo.reset()
    folder = FOLDERS.get(case.op, case.op)
    reference = getattr(import_module(f"mezzotint.kernels.{folder}.reference"), case.op)
    compiled: harness.Operation = torch.compile(reference, dynamic=False)
    return compiled


def _first_calls() -> Iterator[dict[str, Any]]:
    """What a backend of attention makes on its first call at a length, a new size must wait for."""
    for length in NEW_LENGTHS:
        q = torch.randn(length, 30, 128, device=GPU, dtype=torch.bfloat16)
        segments = Segments.of((length,), GPU)
        first, second = (_wall_ms(kernels.attention, q, q, q, segments) for _ in range(2))
        print(f"attention, {length} tokens: first call {first:.2f} ms, second {second:.2f} ms")
        case = f"first-call-{length}"
        yield {"op": "attention", "case": case, "ms": first, "second_ms": second}


def _wall_ms(run: Callable[..., Any], *inputs: Any) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    run(*inputs)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def _row(case: Case, timing: Timing) -> dict[str, Any]:
    return {
        "op": case.op,
        "case": case.name,
        "ms": timing.ms,
        "bytes_per_s": timing.bytes_per_s,
        "flops_per_s": timing.flops_per_s,
        "fraction_of_limit": timing.fraction_of_limit,
    }


def _rate(case: Case, timing: Timing) -> str:
    if case.library:
        return f"{timing.flops_per_s / 1e12:.0f} TFLOP/s"
    return f"{timing.bytes_per_s / 1e9:.0f} GB/s"


def _write(
    rows: Iterable[dict[str, Any]],
    about: dict[str, str],
    ceilings: Ceilings,
    out: Path | None,
) -> None:
    limits = {
        "ceiling_bytes_per_s": ceilings.bytes_per_s,
        "ceiling_flops_per_s": ceilings.flops_per_s,
    }
    for row in rows:  # written as they come: a run that is cut short leaves what it measured
        append(out, about | limits | row)


if __name__ == "__main__":
    sys.exit(main())
