"""Run the product of tokens and FP8 rows in Triton's interpreter, every launch of the sweep.

Prints a JSON row a launch: the error against float64 beside that of plain float32. A program of its
own: TRITON_INTERPRET must be set before triton is imported, and stays. Tokens are float32, for the
interpreter multiplies bfloat16's bits as if they were whole numbers.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial

os.environ["TRITON_INTERPRET"] = "1"

import torch

from mezzotint.kernels import harness
from mezzotint.kernels.linear.cases import SWEEP
from mezzotint.kernels.linear.triton import linear

CPU = torch.device("cpu")
NAMES = ("odd-tokens", "odd-tokens-columns")


def main() -> None:
    torch.set_num_threads(1)
    cases = [case for case in harness.CASES if case.op == "linear" and case.name in NAMES]
    for launch in SWEEP:
        for case in cases:
            run = partial(linear, dtype=torch.float32, launch=launch)
            result = harness.check(case, CPU, torch.float32, run=run)
            row = {"launch": str(launch), "case": case.name, "passed": result.passed}
            json.dump(row | {"errors": result.errors, "plain": result.plain_errors}, sys.stdout)
            print(flush=True)


if __name__ == "__main__":
    main()
