"""The same model as people keep it: sharded, cast, fused, prefixed, renamed, all in one file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]
COMPONENTS = ("transformer", "text_encoder", "vae")
PREFIX = "model.diffusion_model."


def tensors_of(folder: Path) -> Tensors:
    """All tensors of one component of a diffusers folder."""
    found: Tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def copy_model(source: Path, target: Path) -> Path:
    """A model that a test may damage."""
    shutil.copytree(source, target)
    return target


def rewrite(folder: Path, component: str, change: Callable[[Tensors], Tensors]) -> None:
    """Replace a component's weights by one file with `change` applied."""
    tensors = change(tensors_of(folder / component))
    for file in (folder / component).glob("*.safetensors*"):
        file.unlink()
    save(tensors, folder / component / "weights.safetensors")


def edit_json(path: Path, **values: object) -> None:
    """Set keys of a JSON object."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def save(tensors: Tensors, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


def save_sharded(tensors: Tensors, folder: Path, num_shards: int) -> None:
    """Deal the tensors to shards in turn, so that what is merged comes from several files."""
    weight_map = {}
    for shard in range(num_shards):
        name = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        part = {key: tensors[key] for key in sorted(tensors)[shard::num_shards]}
        save(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def cast(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    return {name: value.to(dtype) for name, value in tensors.items()}


def prefixed(tensors: Tensors, prefix: str) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def comfy(tensors: Tensors) -> Tensors:
    """A transformer by ComfyUI's names, qkv split, with the norm that is never read."""
    renamed = {}
    for name, value in tensors.items():
        for ours, theirs in (
            ("all_x_embedder.2-1.", "x_embedder."),
            ("all_final_layer.2-1.", "final_layer."),
            ("attention.to_out.0.", "attention.out."),
            ("attention.norm_q.", "attention.q_norm."),
            ("attention.norm_k.", "attention.k_norm."),
        ):
            name = name.replace(ours, theirs)
        renamed[name] = value
    return renamed | {"norm_final.weight": tensors["x_pad_token"][0].clone()}


def fused(tensors: Tensors, only: str = "") -> Tensors:
    """The attention's three matrices as one, in blocks whose name starts with `only`."""
    merged = dict(tensors)
    for name in tensors:
        if name.startswith(only) and name.endswith("attention.to_q.weight"):
            block = name.removesuffix("to_q.weight")
            rows = [merged.pop(f"{block}to_{x}.weight") for x in "qkv"]
            merged[f"{block}qkv.weight"] = torch.cat(rows)
    return merged


def bfl(tensors: Tensors, num_levels: int = 4) -> Tensors:
    """A VAE by BFL's names, its attention as 1x1 convolutions."""
    renamed = {}
    for name, value in tensors.items():
        if "attentions" in name and "group_norm" not in name and name.endswith("weight"):
            value = value[:, :, None, None]
        for pattern, new in (
            (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
            (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
            (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
            (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
            (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
            (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
            (r"up_blocks\.(\d)\.resnets", lambda m: f"up.{num_levels - 1 - int(m[1])}.block"),
            (
                r"up_blocks\.(\d)\.upsamplers\.0",
                lambda m: f"up.{num_levels - 1 - int(m[1])}.upsample",
            ),
            (r"conv_norm_out", "norm_out"),
            (r"conv_shortcut", "nin_shortcut"),
        ):
            name = re.sub(pattern, new, name)
        renamed[name] = value
    return renamed


def comfy_folder(model: Path, target: Path) -> Path:
    """ComfyUI's models/ with the three files under names that say nothing, and the tokenizer."""
    parts = {name: tensors_of(model / name) for name in COMPONENTS}
    save(comfy(fused(parts["transformer"])), target / "diffusion_models" / "a.safetensors")
    save(prefixed(parts["text_encoder"], "model."), target / "text_encoders" / "b.safetensors")
    save(bfl(parts["vae"]), target / "vae" / "c.safetensors")
    shutil.copy(model / "tokenizer" / "tokenizer.json", target / "text_encoders")
    return target
