"""Memory that torch keeps and nobody holds."""

from __future__ import annotations

import gc
import threading

import torch

# While a graph is captured torch can give nothing back; held by whoever does either.
allocator_lock = threading.RLock()


def give_back() -> None:
    """Return it to the device. It takes 0.1 s: for when memory ran out, or a model was let go."""
    gc.collect()  # of what holds itself, as graphs that failed to be captured
    if torch.cuda.is_initialized():
        with allocator_lock:
            torch.cuda.synchronize()  # what was launched still runs, and may read it
            torch.cuda.empty_cache()
