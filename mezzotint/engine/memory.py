"""Who holds a device's memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mezzotint.models.spec import LoadedModel


def memory_by_owner(
    device: torch.device, model: LoadedModel, slots_bytes: int
) -> Callable[[], dict[str, int]]:
    """A reading of bytes by owner; "working" is all else torch holds: arenas, graphs, its cache."""
    fixed = {"weights": model.weights_bytes, "slots": slots_bytes}
    if device.type != "cuda":
        return lambda: dict(fixed)

    def read() -> dict[str, int]:
        held = torch.cuda.memory_reserved(device)
        return fixed | {"working": max(0, held - sum(fixed.values()))}

    return read
