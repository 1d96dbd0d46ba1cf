"""Whose model is it? Asks the model folders one after the other, by content."""

from __future__ import annotations

from pathlib import Path

import torch

from mezzotint.models.spec import LoadedModel, ModelSpec
from mezzotint.models.zimage import model as zimage
from mezzotint.models.zimage.weights import open_checkpoint


def describe(path: Path, variant: str | None = None) -> ModelSpec:
    """What the model at `path` takes, without reading its tensors. ModelError if it is none."""
    return zimage.spec_of(open_checkpoint(path, variant))


def load(
    path: Path,
    variant: str | None,
    device: torch.device,
    dtype: torch.dtype,
    caption_cache_mib: int,
) -> LoadedModel:
    """Read the model at `path` onto a device. ModelError names what is wrong and the remedy."""
    return zimage.load(open_checkpoint(path, variant), device, dtype, caption_cache_mib)
