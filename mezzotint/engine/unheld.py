"""Memory that torch keeps and nobody holds."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import torch

# While a graph is captured torch can give nothing back; held by whoever does either.
allocator_lock = threading.RLock()


def give_back(let_go: Callable[[], None] = lambda: None) -> None:
    """Return it to the device, and first what `let_go` lets go of.

    It takes 0.1 s: for when memory ran out, or a model was let go.
    """
    # Of what holds itself, as graphs that failed to be captured; a finaliser may close an engine,
    # whose threads may wait for the lock.
    gc.collect()
    if not torch.cuda.is_initialized():
        let_go()
        return
    with allocator_lock:
        # What was launched still runs and may read it: torch waits for one stream at most.
        torch.cuda.synchronize()
        let_go()
        torch.cuda.empty_cache()
