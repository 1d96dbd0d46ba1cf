"""Which of Z-Image's three networks a set of files holds, told by its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mezzotint.models.checkpoint import Part
from mezzotint.models.safetensors_file import AGAIN, SafetensorsFile, StoredTensor
from mezzotint.models.shared import autoencoder_keys, qwen3_keys
from mezzotint.models.zimage import keys
from mezzotint.types import ModelError

Kind = Literal["transformer", "text_encoder", "autoencoder"]


@dataclass(frozen=True, slots=True)
class _Network:
    title: str
    anchors: tuple[str, ...]  # keys that, together, only this network has
    rename: Callable[[Mapping[str, StoredTensor]], list[str]]  # diffusers' names, in order


def parts_of(path: Path, files: tuple[SafetensorsFile, ...]) -> dict[Kind, Part]:
    """The networks in a file, or in the shards of one set, by kind; any prefix is taken off.

    Empty for files of another model. ModelError if a network occurs twice, or if next to one of
    them lie tensors of something else.
    """
    stored = {tensor.name: tensor for file in files for tensor in file.tensors}
    prefixes = {
        kind: found for kind in NETWORKS if (found := _prefix(path, kind, stored)) is not None
    }
    known = tuple(prefixes.values())
    strays = [
        name
        for name in stored
        if not name.startswith(known) and not name.endswith("lm_head.weight")
    ]
    if known and strays:
        raise ModelError(
            f"{path} holds {min(strays)} beside {NETWORKS[next(iter(prefixes))].title}, so it is "
            "another model; take the plain Z-Image files"
        )
    return {kind: part_of(kind, path, files, prefix) for kind, prefix in prefixes.items()}


def part_of(kind: Kind, path: Path, files: tuple[SafetensorsFile, ...], prefix: str = "") -> Part:
    """The tensors below a prefix as one network. ModelError if two would have one name."""
    network = NETWORKS[kind]
    below = {
        tensor.name.removeprefix(prefix): tensor
        for file in files
        for tensor in file.tensors
        if tensor.name.startswith(prefix)
    }
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in zip(network.rename(below), below.values(), strict=True):
        if name in tensors:
            raise ModelError(
                f"{path} holds both {tensors[name].name} and {tensor.name}, which are the same "
                f"tensor of {network.title}; {AGAIN}"
            )
        tensors[name] = tensor
    return Part(network.title, path, files, tensors)


def _prefix(path: Path, kind: Kind, stored: Mapping[str, StoredTensor]) -> str | None:
    first, *others = NETWORKS[kind].anchors
    candidates = [name.removesuffix(first) for name in stored if name.endswith(first)]
    found = [
        prefix
        for prefix in candidates
        if (not prefix or prefix.endswith("."))
        and all(prefix + anchor in stored for anchor in others)
    ]
    if len(found) > 1:
        raise ModelError(
            f"{path} holds {NETWORKS[kind].title} {len(found)} times, below "
            f"{' and '.join(repr(prefix) for prefix in sorted(found))}; take a file with one"
        )
    return found[0] if found else None


def _autoencoder_names(tensors: Mapping[str, StoredTensor]) -> list[str]:
    if not autoencoder_keys.is_bfl(tensors.keys()):
        return list(tensors)
    levels = {name.split(".")[2] for name in tensors if name.startswith("decoder.up.")}
    return [autoencoder_keys.diffusers_name(name, len(levels)) for name in tensors]


NETWORKS: dict[Kind, _Network] = {
    "transformer": _Network(
        "the transformer", keys.ANCHORS, lambda names: [keys.diffusers_name(n) for n in names]
    ),
    "text_encoder": _Network("the text encoder", qwen3_keys.ANCHORS, list),
    "autoencoder": _Network("the VAE", autoencoder_keys.ANCHORS, _autoencoder_names),
}
