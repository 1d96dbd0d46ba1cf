"""Whose model is it? Asks the model folders one after the other, by content."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mezzotint.models.footprint import Footprint
from mezzotint.models.locate import BUNDLED
from mezzotint.models.spec import Build, LoadedModel, ModelSpec, Tokenize
from mezzotint.models.zimage import model as zimage
from mezzotint.models.zimage.footprint import footprint_of
from mezzotint.models.zimage.prompt import PromptTokenizer
from mezzotint.models.zimage.random_weights import (
    RandomName,
    load_random,
    random_footprint,
    random_spec,
)
from mezzotint.models.zimage.weights import open_checkpoint
from mezzotint.types import Precision


def describe(path: Path, variant: str | None = None) -> ModelSpec:
    """What the model at `path` takes, without reading its tensors. ModelError if it is none."""
    return zimage.spec_of(open_checkpoint(path, variant))


def describe_random_weights(name: RandomName) -> ModelSpec:
    """What a real model of this name takes, whose weights would be random."""
    return random_spec(name)


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


def open_tokenizer(path: Path, variant: str | None = None) -> Tokenize:
    """The tokenizer of the model at `path`, with that model's limit; reads no tensors."""
    checkpoint = open_checkpoint(path, variant)
    limits = zimage.spec_of(checkpoint).limits
    return PromptTokenizer(checkpoint.tokenizer_file, limits.max_prompt_tokens)


def load(path: Path, variant: str | None, build: Build) -> LoadedModel:
    """Read the model at `path` onto a device. ModelError names what is wrong and the remedy."""
    return zimage.load(open_checkpoint(path, variant), build)


def load_random_weights(name: RandomName, build: Build) -> LoadedModel:
    """A real model's shapes with random weights, for measuring where no weights are at hand."""
    return load_random(name, BUNDLED / "tokenizer" / "tokenizer.json", build)
