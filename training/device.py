"""The device, its arithmetic, and the compiler."""

from collections.abc import Callable

import torch


def choose_device() -> str:
    """CUDA where there is one, else the CPU; matrix products may use TF32."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def autocast(device: str) -> torch.autocast:
    """bf16 on a GPU; full precision on a CPU, where bf16 is slower."""
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda")


def compiled(function: Callable, wanted: bool) -> Callable:
    """The function, compiled for fixed shapes where there is a GPU."""
    if not wanted or not torch.cuda.is_available():
        return function
    return torch.compile(function, dynamic=False)
