"""Which device and which dtype: settled once, from the configuration and the machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mezzotint.config import Config
from mezzotint.types import ResourceError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_BF16_CAPABILITY = (8, 0)


@dataclass(frozen=True, slots=True)
class Device:
    """A place to compute, named as it is recorded in files."""

    device: torch.device
    dtype: torch.dtype
    precision: str
    name: str


def choose_device(config: Config) -> Device:
    """Settle "auto" and refuse what the machine cannot do; ResourceError says what to do."""
    has_gpu = torch.cuda.is_available()
    kind = config.device if config.device != "auto" else ("cuda" if has_gpu else "cpu")
    if kind == "cuda" and not has_gpu:
        raise ResourceError(
            "device cuda was asked for and torch sees no NVIDIA GPU; run `mezzotint doctor` to "
            "see why, or use --device cpu"
        )
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if kind == "cuda" else "fp32"
    if kind == "cuda" and precision == "bf16":
        _check_bf16()
    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    return Device(torch.device(kind), _DTYPES[precision], precision, name)


def _check_bf16() -> None:
    capability = torch.cuda.get_device_capability()
    if capability < _BF16_CAPABILITY:
        raise ResourceError(
            f"{torch.cuda.get_device_name()} (compute capability {capability[0]}.{capability[1]}) "
            "has no bf16, which needs 8.0 or newer; use --precision fp32"
        )
