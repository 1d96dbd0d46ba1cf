"""The libraries that can attend on a GPU, and which of them is installed."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

Backend = Literal["fa4", "cudnn", "flash", "efficient"]


@lru_cache(maxsize=1)
def has_fa4() -> bool:
    """Whether flash-attn-4 (the extra `fa4`) is installed."""
    return find_spec("flash_attn") is not None and find_spec("flash_attn.cute") is not None
