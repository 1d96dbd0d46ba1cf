"""Which device and which dtype: settled once, from the configuration and the machine."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch

from mezzotint.config import Config
from mezzotint.engine.missing_gpu import driver_is_too_old, read_facts, why_no_gpu
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

    @property
    def capability(self) -> int | None:
        """A GPU's compute capability's major number; None: a CPU."""
        if self.device.type == "cpu":
            return None
        return torch.cuda.get_device_capability(self.device)[0]


def choose_device(config: Config) -> Device:
    """Settle "auto" and refuse what the machine cannot do; ResourceError says what to do."""
    kind = _kind(config.device)
    if kind == "cuda" and find_spec("triton") is None:
        raise ResourceError(
            "there is a GPU and triton, which holds the kernels for it, is not installed; "
            "pip install triton, or use --device cpu"
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


def _kind(asked: Literal["auto", "cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    if asked == "cpu":
        return "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what the error below says
        if torch.cuda.is_available():
            return "cuda"
    facts = read_facts()
    # "auto" is no leave to fall back to a CPU in silence where there is a GPU.
    if asked == "cuda" or driver_is_too_old(facts):
        why = why_no_gpu(facts)
        raise ResourceError(f"no GPU can be used: {why.found}; {why.fix}, or use --device cpu")
    return "cpu"


def _too_old(precision: Precision, has: tuple[Precision, ...]) -> str:
    found, needed = torch.cuda.get_device_capability(), _CAPABILITIES[precision]
    return (
        f"{torch.cuda.get_device_name()} (compute capability {found[0]}.{found[1]}) has no "
        f"{precision}, which needs {needed[0]}.{needed[1]} or newer; use --precision {has[-1]}"
    )
