"""Run attention in FP8 in Triton's interpreter as the engine does, every launch of the sweep.

Prints a JSON row a launch: the error against float64 beside that of plain float32. A program of its
own: TRITON_INTERPRET must be set before triton is imported, and stays. P and v's copy are float32,
since the interpreter's cast to e4m3 is wrong where a carry leaves the mantissa.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import torch
from torch import Tensor

from mezzotint.kernels import Segments
from mezzotint.kernels.attention.cases import formula as exact
from mezzotint.kernels.attention_fp8.cases import SWEEP, inputs
from mezzotint.kernels.attention_fp8.triton import attention_fp8

CPU = torch.device("cpu")
LENGTHS = (5, 128, 123, 70)  # begin and end on a block's border and off it, within one and across
SPARE = 50  # rows that no segment owns


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator(CPU).manual_seed(0)
    q, k, v, _ = inputs((*LENGTHS, SPARE), 2, 32, generator, torch.float32)
    owned = sum(LENGTHS)
    v[owned:] = torch.nan
    here = Segments.of(LENGTHS, CPU)
    truth = exact(q[:owned].double(), k[:owned].double(), v[:owned].double(), here)
    plain = exact(q[:owned].float(), k[:owned].float(), v[:owned], here)
    for launch in SWEEP:
        y = attention_fp8(q, k, v, _on_device(here, len(q)), dtype=torch.float32, launch=launch)
        row = {
            "launch": str(launch),
            "error": _error(y[:owned], truth),
            "plain_error": _error(plain, truth),
            "spare": y[owned:].abs().sum().item(),
        }
        json.dump(row, sys.stdout)
        print(flush=True)


def _on_device(segments: Segments, num_rows: int) -> Segments:
    """As a recording of mixes has them: no bounds on the host, and room for more segments."""
    bounds = segments.cu_seqlens
    return Segments(None, segments.index, torch.cat([bounds, bounds[-1:].expand(5)]), num_rows)


def _error(y: Tensor, truth: Tensor) -> float:
    error: float = ((y.double() - truth).norm() / truth.norm()).item()
    return error


if __name__ == "__main__":
    main()
