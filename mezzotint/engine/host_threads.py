"""How many cores torch's operations on the host take, in one thread."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from threadpoolctl import threadpool_limits


def limit_host_threads(count: int | None) -> AbstractContextManager[object]:
    """Inside, this thread's operations on the host take `count` cores; None changes nothing.

    Beside a GPU they are a few copies of some 100 kB. Spread over all cores they wait for the
    slowest to wake: up to 6 ms each on a shared machine, where one core needs 0.05 (an H100's
    host). Other threads, and whoever embeds the engine, keep their own number.
    """
    if count is None:
        return nullcontext()
    torch.get_num_threads()  # torch sets a thread's number at its first use: before ours
    limits: AbstractContextManager[object] = threadpool_limits(count, user_api="openmp")
    return limits
