"""What a GPU's matrix units reach at best, as the bench measured it."""

from __future__ import annotations

# (name by the driver, precision) -> TFLOP/s of a large matrix product: rows of bench/results/,
# kernels.jsonl ("ceiling_flops_per_s") and pictures.jsonl ("ceiling_fp8_flops_per_s").
_CEILINGS = {
    ("NVIDIA H200", "bf16"): 761.6,
    ("NVIDIA H100 80GB HBM3", "bf16"): 783.6,
    ("NVIDIA H100 80GB HBM3", "fp8"): 1490.1,
}


def ceiling_tflops(device: str, precision: str) -> float | None:
    """TFLOP/s that nothing on this device exceeds; None where nobody has measured it."""
    return _CEILINGS.get((device, precision))
