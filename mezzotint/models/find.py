"""Whose model is it? Asks the model folders one after the other, by content; reads no tensors."""

from __future__ import annotations

from pathlib import Path

from mezzotint.models.spec import ModelSpec, Tokenize
from mezzotint.models.zimage.describe import RandomName, random_spec, spec_of
from mezzotint.models.zimage.prompt import PromptTokenizer
from mezzotint.models.zimage.weights import open_checkpoint


def describe(path: Path, variant: str | None = None) -> ModelSpec:
    """What the model at `path` takes, without reading its tensors. ModelError if it is none."""
    return spec_of(open_checkpoint(path, variant))


def describe_random_weights(name: RandomName) -> ModelSpec:
    """What a real model of this name takes, whose weights would be random."""
    return random_spec(name)


def open_tokenizer(path: Path, variant: str | None = None) -> Tokenize:
    """The tokenizer of the model at `path`, with that model's limit; reads no tensors."""
    checkpoint = open_checkpoint(path, variant)
    limits = spec_of(checkpoint).limits
    return PromptTokenizer(checkpoint.tokenizer_file, limits.max_prompt_tokens)
