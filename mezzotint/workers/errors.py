"""Errors across a process border: a kind and a sentence, never a pickled exception."""

from __future__ import annotations

import sys
from typing import Literal

from mezzotint.types import (
    Cancelled,
    ConfigError,
    MezzotintError,
    ModelError,
    RequestError,
    ResourceError,
)

ErrorKind = Literal["request", "config", "model", "resource", "cancelled", "device", "other"]

MAX_MESSAGE = 2000  # characters

_TYPES: dict[ErrorKind, type[MezzotintError]] = {
    "request": RequestError,
    "config": ConfigError,
    "model": ModelError,
    "resource": ResourceError,
    "cancelled": Cancelled,
}
_DEVICE_WORDS = ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS", "NCCL error")


class WorkerError(ResourceError):
    """The process that was making a picture broke."""


def kind_of(error: BaseException) -> ErrorKind:
    """Name an error's kind; "device" means that the process cannot be trusted any more."""
    for kind, type_ in _TYPES.items():
        if isinstance(error, type_):
            return kind
    if isinstance(error, MemoryError):
        return "resource"
    return "device" if _is_of_device(error) else "other"


def message_of(error: BaseException) -> str:
    """The sentence to send; for errors that are not ours it begins with their type."""
    text = str(error) if isinstance(error, MezzotintError) else f"{type(error).__name__}: {error}"
    # A lone surrogate cannot be sent; it must not turn one error into another.
    return text[:MAX_MESSAGE].encode("utf-8", "replace").decode("utf-8")


def error_of(kind: ErrorKind, message: str) -> MezzotintError:
    """The error that a kind and a sentence stand for."""
    return _TYPES.get(kind, WorkerError)(message)


def _is_of_device(error: BaseException) -> bool:
    torch = sys.modules.get("torch")  # whoever has not imported it cannot have raised its errors
    accelerator_error = getattr(torch, "AcceleratorError", None)
    if accelerator_error is not None and isinstance(error, accelerator_error):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _DEVICE_WORDS)
