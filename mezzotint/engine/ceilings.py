"""What a GPU's matrix units reach at best, as bench/kernels.py measured it."""

from __future__ import annotations

# (name by the driver, precision) -> TFLOP/s of a large matrix product: rows of
# bench/results/kernels.jsonl, "ceiling_flops_per_s".
_CEILINGS = {("NVIDIA H200", "bf16"): 761.6}


def ceiling_tflops(device: str, precision: str) -> float | None:
    """TFLOP/s that nothing on this device exceeds; None where nobody has measured it."""
    return _CEILINGS.get((device, precision))
