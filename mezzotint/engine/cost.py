"""When packing pays: a table by kind of device, filled from measurements."""

from __future__ import annotations

import torch

# TFLOP of steps that may share a forward. 0: a request never waits for another's arithmetic.
_PACK_TFLOP = {"cpu": 0.0, "cuda": 0.0}


def pack_tflop(device: torch.device, deterministic: bool) -> float:
    """The most TFLOP one pack may hold. Deterministic packs hold one request, so that its bytes
    never depend on its company."""
    return 0.0 if deterministic else _PACK_TFLOP[device.type]
