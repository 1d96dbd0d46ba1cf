"""Which device and which dtype: settled once, from the configuration and the machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mezzotint.config import Config
from mezzotint.types import Precision, ResourceError

_DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp8": torch.bfloat16,
}
_CAPABILITIES: dict[Precision, tuple[int, int]] = {
    "bf16": (8, 0),
    "fp8": (8, 9),
}  # the oldest GPUs that have them


@dataclass(frozen=True, slots=True)
class Device:
    """A place to compute, named as it is recorded in files."""

    device: torch.device
    dtype: torch.dtype
    precision: Precision
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
    device = torch.device(kind)
    precision: Precision = "bf16" if kind == "cuda" else "fp32"
    if config.precision != "auto":
        precision = config.precision
    if precision not in precisions_of(device):
        raise ResourceError(_too_old(precision, precisions_of(device)))
    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    return Device(device, _DTYPES[precision], precision, name)


def precisions_of(device: torch.device) -> tuple[Precision, ...]:
    """The precisions that a device has, the most exact first."""
    if device.type == "cpu":
        return tuple(_DTYPES)
    found = torch.cuda.get_device_capability()
    return tuple(p for p in _DTYPES if found >= _CAPABILITIES.get(p, found))


def _too_old(precision: Precision, has: tuple[Precision, ...]) -> str:
    found, needed = torch.cuda.get_device_capability(), _CAPABILITIES[precision]
    return (
        f"{torch.cuda.get_device_name()} (compute capability {found[0]}.{found[1]}) has no "
        f"{precision}, which needs {needed[0]}.{needed[1]} or newer; use --precision {has[-1]}"
    )
