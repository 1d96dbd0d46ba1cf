"""Why torch sees no GPU, and what to do: facts in, a finding and a remedy out."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_DEVICES = Path("/dev")
_OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}  # by CUDA's major version: NVIDIA's release notes


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """What is known of the GPUs without asking CUDA."""

    driver: str | None  # the NVIDIA driver's version; None without one
    num_devices: int  # that this process can open
    cuda: str | None  # what torch was built for; None: a CPU build
    visible: str | None  # CUDA_VISIBLE_DEVICES


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence in two halves."""

    found: str
    fix: str


def read_facts() -> GpuFacts:
    """The facts of this machine."""
    return GpuFacts(
        driver=driver_version(),
        num_devices=sum(path.name[6:].isdigit() for path in _DEVICES.glob("nvidia*")),
        cuda=torch.version.cuda,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def why_no_gpu(facts: GpuFacts) -> Finding:
    """Why there is no GPU for torch, the likeliest cause first."""
    if facts.driver is None:
        return Finding("there is no NVIDIA driver", "install it")
    if facts.cuda is None:
        found = f"the NVIDIA driver is {facts.driver} and this torch is a CPU build"
        return Finding(found, "install a CUDA build of torch")
    if driver_is_too_old(facts):
        major = int(facts.cuda.split(".")[0])
        found = (
            f"the NVIDIA driver {facts.driver} is too old for CUDA {facts.cuda}, which torch was "
            f"built for and which needs driver {_OLDEST_DRIVERS[major]} or newer"
        )
        return Finding(found, "update the driver, or install torch built for an older CUDA")
    if facts.visible is not None and facts.visible.strip() in ("", "-1"):
        found = f"CUDA_VISIBLE_DEVICES is {facts.visible!r}, which hides every GPU"
        return Finding(found, "unset it, or name a GPU such as 0")
    if facts.num_devices == 0:
        found = f"the NVIDIA driver is {facts.driver} and no GPU is open to this process"
        return Finding(found, "give the container its GPUs (docker run --gpus all)")
    found = f"the NVIDIA driver is {facts.driver} and torch sees no GPU"
    return Finding(found, "see whether `nvidia-smi` lists it")


def driver_is_too_old(facts: GpuFacts) -> bool:
    """Whether there is a GPU that torch cannot use for its driver's age alone."""
    if facts.driver is None or facts.cuda is None or facts.num_devices == 0:
        return False
    oldest = _OLDEST_DRIVERS.get(int(facts.cuda.split(".")[0]))
    major = facts.driver.split(".")[0]
    return oldest is not None and major.isdigit() and int(major) < oldest


def driver_version() -> str | None:
    """The NVIDIA driver's version; None without one."""
    with suppress(Exception):  # not installed, or no driver: the file below knows as much
        import pynvml

        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    try:
        words = _DRIVER_FILE.read_text().split()
    except OSError:
        return None
    return next((word for word in words if word.count(".") and word[0].isdigit()), "unknown")
