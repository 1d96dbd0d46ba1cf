"""When memory runs out while pictures are made: what to say of it."""

from __future__ import annotations

import re

import torch

from mezzotint.engine.pack import Pack
from mezzotint.types import ResourceError

_GOES_ON = (
    "the engine goes on: ask for a smaller size, or start it with more --memory or fewer slots"
)
_DOING = {"encode": "encoded", "denoise": "denoised", "decode": "decoded"}


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, be it under another error, as one that ended a graph's capture."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, torch.OutOfMemoryError | MemoryError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def explain(pack: Pack, error: BaseException, remedy: str = _GOES_ON) -> ResourceError:
    """One sentence; it keeps no traceback, whose frames would hold the pack's tensors."""
    sizes = ", ".join(dict.fromkeys(f"{row.width}x{row.height}" for row in pack.rows))
    tried = re.search(r"Tried to allocate ([0-9.]+ [KMGT]iB)", str(error))
    return ResourceError(
        f"memory ran out while {sizes} was {_DOING[pack.stage]}"
        f"{f' ({tried[1]} more were needed)' if tried else ''}; {remedy}"
    )
