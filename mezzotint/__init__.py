"""Mezzotint makes pictures from text with Z-Image: an engine, a command, a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mezzotint.types import (
    Cancelled,
    ConfigError,
    Image,
    MezzotintError,
    ModelError,
    Progress,
    Recipe,
    Request,
    RequestError,
    ResourceError,
    StepRange,
)
from mezzotint.version import __version__

if TYPE_CHECKING:
    from mezzotint.engine.engine import Engine

__all__ = [
    "Cancelled",
    "ConfigError",
    "Engine",
    "Image",
    "MezzotintError",
    "ModelError",
    "Progress",
    "Recipe",
    "Request",
    "RequestError",
    "ResourceError",
    "StepRange",
    "__version__",
]


def __getattr__(name: str) -> object:
    # The engine imports torch, which takes seconds: whoever only reads types or help never pays.
    if name == "Engine":
        from mezzotint.engine.engine import Engine

        return Engine
    raise AttributeError(f"module 'mezzotint' has no attribute {name!r}")
