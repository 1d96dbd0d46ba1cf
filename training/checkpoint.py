"""Checkpoints: weights in bf16, in shards small enough to review and carry."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SHARD_BYTES = 14_000_000


def save(
    folder: Path, modules: Mapping[str, nn.Module], notes: Mapping[str, object],
    dtype: torch.dtype = torch.bfloat16,
) -> None:  # fmt: skip
    """Write the modules' weights and some notes; the folder appears whole or not at all."""
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    for old in partial.iterdir():
        old.unlink()
    tensors = {
        f"{name}/{key}": _stored(value, dtype)
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    for i, shard in enumerate(_shards(tensors)):
        save_file(shard, partial / f"shard{i}.safetensors")
    (partial / "notes.json").write_text(json.dumps(notes))
    if folder.exists():
        for old in folder.iterdir():
            old.unlink()
        folder.rmdir()
    partial.rename(folder)


def load(folder: Path, modules: Mapping[str, nn.Module]) -> dict[str, object]:
    """Read weights into the modules and return the notes; a missing or odd key is an error."""
    if not (folder / "notes.json").exists():
        raise FileNotFoundError(f"no checkpoint in {folder}; run the phase that makes it first")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(folder.glob("shard*.safetensors")):
        tensors |= load_file(shard)
    for name, module in modules.items():
        prefix = name + "/"
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        module.load_state_dict(own)
    return dict(json.loads((folder / "notes.json").read_text()))


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    value = value.detach().cpu()
    return (value.to(dtype) if value.is_floating_point() else value).contiguous()


def _shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, value in tensors.items():
        if size + value.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][key] = value
        size += value.nbytes
    return shards
