"""Which device and which dtype: settled once, from the configuration and the machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mezzotint.config import Config
from mezzotint.types import ResourceError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp8": torch.bfloat16}
_CAPABILITIES = {"bf16": (8, 0), "fp8": (8, 9)}  # the oldest GPUs that have them
_INSTEAD = {"bf16": "fp32", "fp8": "bf16"}


@dataclass(frozen=True, slots=True)
class Device:
    """A place to compute, named as it is recorded in files."""

    device: torch.device
    dtype: torch.dtype
    precision: str
    name: str

    @property
    def fp8(self) -> bool:
        """Whether the large products run in FP8; on a CPU they are emulated, with no gain."""
        return self.precision == "fp8"


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
    if kind == "cuda" and precision in _CAPABILITIES:
        _check_capability(precision)
    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    return Device(torch.device(kind), _DTYPES[precision], precision, name)


def _check_capability(precision: str) -> None:
    found, needed = torch.cuda.get_device_capability(), _CAPABILITIES[precision]
    if found < needed:
        raise ResourceError(
            f"{torch.cuda.get_device_name()} (compute capability {found[0]}.{found[1]}) has no "
            f"{precision}, which needs {needed[0]}.{needed[1]} or newer; use --precision "
            f"{_INSTEAD[precision]}"
        )
