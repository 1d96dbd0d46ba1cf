"""What a process has loaded for good is no garbage: the collector need not look at it again."""

from __future__ import annotations

import gc


def settle() -> None:
    """Leave all that lives by now out of later collections; for a process of ours, once loaded.

    torch, the routes and their schemas are half a million objects. Each full collection went
    through them with all threads at a stand: a quarter of a second, every ten seconds under load.
    """
    gc.collect()
    gc.freeze()
