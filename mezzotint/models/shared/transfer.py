"""The way from the host to a device, without waiting for either."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(x: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host's.

    A plain copy to a GPU first waits for all that its stream still has to do. From pinned memory
    it takes its turn in the stream, and torch keeps that memory until it has run.
    """
    if device.type != "cuda":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)
