"""Whose model is it? Asks the model folders one after the other, by content."""

from __future__ import annotations

from pathlib import Path

import torch

from mezzotint.models.locate import BUNDLED
from mezzotint.models.spec import LoadedModel, MakeReplay, ModelSpec, Tokenize, run_eagerly
from mezzotint.models.zimage import model as zimage
from mezzotint.models.zimage.prompt import PromptTokenizer
from mezzotint.models.zimage.random_weights import RandomName, load_random, random_spec
from mezzotint.models.zimage.weights import open_checkpoint


def describe(path: Path, variant: str | None = None) -> ModelSpec:
    """What the model at `path` takes, without reading its tensors. ModelError if it is none."""
    return zimage.spec_of(open_checkpoint(path, variant))


def describe_random_weights(name: RandomName) -> ModelSpec:
    """What a real model of this name takes, whose weights would be random."""
    return random_spec(name)


def open_tokenizer(path: Path, variant: str | None = None) -> Tokenize:
    """The tokenizer of the model at `path`, with that model's limit; reads no tensors."""
    checkpoint = open_checkpoint(path, variant)
    limits = zimage.spec_of(checkpoint).limits
    return PromptTokenizer(checkpoint.tokenizer_file, limits.max_prompt_tokens)


def load(
    path: Path,
    variant: str | None,
    device: torch.device,
    dtype: torch.dtype,
    caption_cache_mib: int,
    make_replay: MakeReplay = lambda: run_eagerly,
) -> LoadedModel:
    """Read the model at `path` onto a device. ModelError names what is wrong and the remedy."""
    checkpoint = open_checkpoint(path, variant)
    return zimage.load(checkpoint, device, dtype, caption_cache_mib, make_replay)


def load_random_weights(
    name: RandomName,
    device: torch.device,
    dtype: torch.dtype,
    caption_cache_mib: int,
    make_replay: MakeReplay = lambda: run_eagerly,
) -> LoadedModel:
    """A real model's shapes with random weights, for measuring where no weights are at hand."""
    tokenizer = BUNDLED / "tokenizer" / "tokenizer.json"
    return load_random(name, tokenizer, device, dtype, caption_cache_mib, make_replay)
