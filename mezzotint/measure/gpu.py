"""What the GPU says of itself beside a measurement: memory and utilisation."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from mezzotint.engine.unheld import give_back

_SAMPLE_S = 0.05


@dataclass
class Utilisation:
    """Shares of time in which some kernel ran, as the driver samples them."""

    samples: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """None: no driver library, or too short to sample."""
        return statistics.fmean(self.samples) if self.samples else None


@contextmanager
def watch() -> Iterator[Utilisation]:
    """Sample utilisation in a thread of its own; needs nvidia-ml-py, without it nothing is seen."""
    seen = Utilisation()
    handle = _open()
    if handle is None:
        yield seen
        return
    done = threading.Event()
    thread = threading.Thread(target=_sample, args=(handle, seen, done), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def let_go() -> None:
    """Give back what nobody holds and what libraries worked in: no graph may be replayed after it.

    torch keeps 32 MiB of the latter for every thread and stream that ever multiplied, which would
    count as the next engine's.
    """
    if torch.cuda.is_initialized():
        torch._C._cuda_clearCublasWorkspaces()
    give_back()


def reset_peak() -> None:
    """Forget the peaks of allocated and of reserved bytes so far."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int | None:
    """torch's peak of allocated bytes since the last reset; None without a GPU."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def reserved_bytes() -> int | None:
    """torch's peak of reserved bytes since then: what it keeps and graphs' pools are in it."""
    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None


def _open() -> Any:
    if not torch.cuda.is_available():
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        # Not by index: the driver counts GPUs that CUDA_VISIBLE_DEVICES hides from torch.
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties().uuid}")
    except pynvml.NVMLError:
        return None


def _sample(handle: Any, seen: Utilisation, done: threading.Event) -> None:
    import pynvml

    while not done.wait(_SAMPLE_S):
        try:
            seen.samples.append(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
        except pynvml.NVMLError:  # not on this driver: an empty list says so
            return
