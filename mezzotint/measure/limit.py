"""What a device's own matrix product reaches: the limit that shares are taken of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

_SIDE = {"cuda": 8192, "cpu": 1024}
_REPEATS = 12
_WARMUPS = 3
_FP8_CAPABILITY = (8, 9)


def product_flops_per_s(device: torch.device, precision: str) -> float | None:
    """Median of a large square product of random values; None where the device has no such one.

    precision: fp32, bf16 or fp8.
    """
    run = _product(device, precision)
    if run is None:
        return None
    times = [_run_s(run, device) for _ in range(_WARMUPS + _REPEATS)][_WARMUPS:]
    return 2 * _SIDE[device.type] ** 3 / statistics.median(times)


def _product(device: torch.device, precision: str) -> Callable[[], object] | None:
    side = _SIDE[device.type]
    a, b = (torch.randn(side, side, device=device) for _ in "ab")
    if precision == "fp32":
        return lambda: a @ b
    if precision == "bf16":
        x, y = a.bfloat16(), b.bfloat16()
        return lambda: x @ y
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < _FP8_CAPABILITY:
        return None
    p, q = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
    rows, columns = torch.ones(side, 1, device=device), torch.ones(1, side, device=device)
    return lambda: torch._scaled_mm(
        p, q, scale_a=rows, scale_b=columns, out_dtype=torch.bfloat16, use_fast_accum=True
    )


def _run_s(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cpu":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3
