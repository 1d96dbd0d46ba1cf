"""When packing pays: a table by GPU and precision, filled from measurements."""

from __future__ import annotations

import torch

# (compute capability's major, precision) -> TFLOP of steps that may share a forward. On an H100
# sixteen pictures of 512 x 512 in fp8 come at 8.3 a second one by one, at 8.9 four at a time and at
# 9.0 eight at a time (bench/results/packing.jsonl). In bf16 four at a time gain 5 %: not worth what
# the requests lose that end later for it.
_PACK_TFLOP = {(9, "fp8"): 60.0}


def pack_tflop(
    device: torch.device, precision: str, *, deterministic: bool, asked: float | None
) -> float:
    """The most TFLOP one pack may hold: what was asked for, or the table's; 0 packs nothing.

    Deterministic packs hold one request, so that its bytes never depend on its company.
    """
    if deterministic:
        return 0.0
    if asked is not None:
        return asked
    if device.type != "cuda":
        return 0.0
    return _PACK_TFLOP.get((torch.cuda.get_device_capability(device)[0], precision), 0.0)
