"""What a found model needs of a device, and the model itself, read onto it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mezzotint.models.footprint import Footprint
from mezzotint.models.locate import BUNDLED
from mezzotint.models.spec import Build, LoadedModel
from mezzotint.models.zimage import model as zimage
from mezzotint.models.zimage.describe import RandomName
from mezzotint.models.zimage.footprint import footprint_of
from mezzotint.models.zimage.random_weights import load_random, random_footprint
from mezzotint.models.zimage.weights import open_checkpoint
from mezzotint.types import Precision


def footprints(
    path: Path, variant: str | None, precisions: Iterable[Precision]
) -> dict[Precision, Footprint]:
    """What the model at `path` needs of a device's memory, by precision; reads no tensors."""
    checkpoint = open_checkpoint(path, variant)
    configs = (checkpoint.transformer, checkpoint.text_encoder, checkpoint.autoencoder)
    return {precision: footprint_of(*configs, precision) for precision in precisions}


def random_footprints(precisions: Iterable[Precision]) -> dict[Precision, Footprint]:
    """What a real model whose weights are random needs."""
    return {precision: random_footprint(precision) for precision in precisions}


def load(path: Path, variant: str | None, build: Build) -> LoadedModel:
    """Read the model at `path` onto a device. ModelError names what is wrong and the remedy."""
    return zimage.load(open_checkpoint(path, variant), build)


def load_random_weights(name: RandomName, build: Build) -> LoadedModel:
    """A real model's shapes with random weights, for measuring where no weights are at hand."""
    return load_random(name, BUNDLED / "tokenizer" / "tokenizer.json", build)
