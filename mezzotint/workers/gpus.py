"""How many GPUs are there? Torch, which knows, is imported only where there may be one."""

from __future__ import annotations

import ctypes
import sys


def count_gpus() -> int:
    """GPUs that torch sees in this process."""
    if not has_driver():
        return 0
    import torch  # a second and 150 MB, which a server without GPUs need not spend

    # It asks NVML and makes no CUDA context, which this process must never have.
    return torch.cuda.device_count()


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed; nothing that uses CUDA runs without its library."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
