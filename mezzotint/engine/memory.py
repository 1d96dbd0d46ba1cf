"""Who holds a device's memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mezzotint.engine.graphs import GraphTally
from mezzotint.models.spec import LoadedModel


def memory_by_owner(
    device: torch.device, model: LoadedModel, slots_bytes: int, graphs: GraphTally
) -> Callable[[], dict[str, int]]:
    """A reading of bytes by owner; "arenas" is all else that torch holds, its cache included."""
    fixed = {"weights": model.weights_bytes, "slots": slots_bytes}
    if device.type != "cuda":
        return lambda: dict(fixed)

    def read() -> dict[str, int]:
        known = fixed | {"graphs": graphs.num_bytes}
        held = torch.cuda.memory_reserved(device)
        return known | {"arenas": max(0, held - sum(known.values()))}

    return read
