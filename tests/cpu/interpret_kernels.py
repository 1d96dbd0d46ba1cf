"""Run every Triton kernel's small cases in Triton's interpreter and print a JSON row for each.

A program of its own: TRITON_INTERPRET must be set before triton is imported, and stays.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from functools import partial
from importlib import import_module

os.environ["TRITON_INTERPRET"] = "1"

import torch

from bench.kernels import FOLDERS
from mezzotint.kernels import harness
from mezzotint.kernels.case import Case
from mezzotint.kernels.flow_step import triton as flow_step
from mezzotint.kernels.group_norm_silu import triton as group_norm_silu

CPU = torch.device("cpu")


def kernel(case: Case) -> harness.Operation:
    """The operation's kernel, with float32 outputs: the interpreter truncates to bfloat16.

    Tokens of a product are made float32 first: the interpreter multiplies bfloat16's bits.
    """
    module = import_module(f"mezzotint.kernels.{FOLDERS.get(case.op, case.op)}.triton")
    run: harness.Operation = getattr(module, case.op)
    if case.op == "linear":
        return lambda x, weight: run(x.float(), weight)
    if "dtype" in inspect.signature(run).parameters:
        return partial(run, dtype=torch.float32)
    return run


def main() -> None:
    torch.set_num_threads(1)
    # Few programs, so that each takes several turns of its loop: quicker, and more is seen.
    flow_step.NUM_PARTIALS, group_norm_silu.NUM_SLICES = 4, 4
    for case in harness.CASES:
        if not case.small or case.library:
            continue
        for dtype in (torch.float32, torch.bfloat16):
            start = time.perf_counter()
            result = harness.check(case, CPU, dtype, run=kernel(case), plain_dtype=torch.float32)
            row = {
                "op": case.op,
                "case": case.name,
                "dtype": str(dtype),
                "errors": result.errors,
                "plain_errors": result.plain_errors,
                "passed": result.passed,
                "s": round(time.perf_counter() - start, 2),
            }
            json.dump(row, sys.stdout)
            print(flush=True)


if __name__ == "__main__":
    main()
