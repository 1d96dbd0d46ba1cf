"""The names of a Z-Image transformer's tensors: in files, in diffusers and in our module."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import replace

from mezzotint.models.checkpoint import KeyMap, Part
from mezzotint.models.config_file import ConfigFile
from mezzotint.models.safetensors_file import AGAIN
from mezzotint.models.zimage.config import MODULATION_WIDTH, TransformerConfig
from mezzotint.types import ModelError

ANCHORS = ("cap_embedder.1.weight", "layers.0.adaLN_modulation.0.weight")  # only Z-Image has both
IGNORED = ("norm_final.weight",)  # in single files; the model never reads it

_X, _FINAL = "all_x_embedder.2-1", "all_final_layer.2-1"  # patch side 2, one frame
_HEAD = "layers.0.attention.norm_q.weight"
_SPLIT = ("attention.to_q.weight", "attention.to_k.weight", "attention.to_v.weight")
_FUSED = "attention.qkv.weight"
_TOP = {
    "x_embedder": _X,
    "cap_embedder": "cap_embedder.1",
    "t_embedder.0": "t_embedder.mlp.0",
    "t_embedder.2": "t_embedder.mlp.2",
    "final": f"{_FINAL}.linear",
    "final_modulation": f"{_FINAL}.adaLN_modulation.1",
}
_BLOCK = {
    "q_norm": "attention.norm_q.weight",
    "k_norm": "attention.norm_k.weight",
    "out": "attention.to_out.0.weight",
    "w2": "feed_forward.w2.weight",
    "attention_norm1": "attention_norm1.weight",
    "attention_norm2": "attention_norm2.weight",
    "ffn_norm1": "ffn_norm1.weight",
    "ffn_norm2": "ffn_norm2.weight",
}
_RENAMES = (
    (re.compile(r"^x_embedder\."), f"{_X}."),  # ^: all_x_embedder. stays as it is
    (re.compile(r"^final_layer\."), f"{_FINAL}."),
    (re.compile(r"\.attention\.out\.weight$"), ".attention.to_out.0.weight"),
    (re.compile(r"\.attention\.([qk])_norm\.weight$"), r".attention.norm_\1.weight"),
)


def diffusers_name(name: str) -> str:
    """The name diffusers gives a tensor of a single file; its own names stay. Fused qkv stays."""
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


def expected_keys(config: TransformerConfig, fused: bool = False) -> dict[str, tuple[int, ...]]:
    """Every tensor's shape by diffusers' name; `fused` has one qkv a block for the three."""
    keys: dict[str, tuple[int, ...]] = dict(_top_shapes(config))
    for block, modulated in _blocks(config):
        for name, shape in _block_shapes(config, modulated, fused):
            keys[f"{block}.{name}"] = shape
    return keys


def key_map(config: TransformerConfig, stored: Container[str]) -> KeyMap:
    """Where each parameter of our Transformer comes from, block by block fused or split."""
    sources: dict[str, tuple[str, ...]] = {
        f"{ours}.{leaf}": (f"{theirs}.{leaf}",)
        for ours, theirs in _TOP.items()
        for leaf in ("weight", "bias")
    }
    sources["cap_norm"] = ("cap_embedder.0.weight",)
    sources |= {name: (name,) for name in ("x_pad_token", "cap_pad_token")}
    for block, modulated in _blocks(config):
        fused = f"{block}.{_FUSED}" in stored
        for ours, names in _block_sources(modulated, fused):
            sources[f"{block}.{ours}"] = tuple(f"{block}.{name}" for name in names)
    return KeyMap(sources, expected_keys(config) | expected_keys(config, fused=True))


def config_of(part: Part, file: ConfigFile | None) -> TransformerConfig:
    """The sizes that the shapes tell, held against config.json where there is one.

    What shapes cannot tell is as in the released model without the file. ModelError where the two
    differ or the file wants what our Transformer does not do.
    """
    config = _derive(part)
    if file is not None:
        config = _hold_against(config, file)
    heads_fit = config.num_heads * config.head_dim == config.dim
    if not heads_fit or sum(config.axes_dims) != config.head_dim or _odd(config.axes_dims):
        raise ModelError(
            f"{part.path} has {config.dim} channels in heads of "
            f"{part.shape(_HEAD, 1)[0]} with axes {list(config.axes_dims)}, and heads must divide "
            f"the channels and even axes add up to a head; {AGAIN}"
        )
    return config


def _hold_against(config: TransformerConfig, file: ConfigFile) -> TransformerConfig:
    file.only("_class_name", "ZImageTransformer2DModel")
    file.only("all_patch_size", [config.patch_size])
    file.only("all_f_patch_size", [1])
    file.only("qk_norm", True)
    file.only("siglip_feat_dim", None)
    for key, found in (
        ("dim", config.dim),
        ("n_layers", config.num_layers),
        ("n_refiner_layers", config.num_refiner_layers),
        ("n_heads", config.num_heads),
        ("n_kv_heads", config.num_heads),
        ("in_channels", config.in_channels),
        ("cap_feat_dim", config.caption_width),
    ):
        file.agree(key, found)
    return replace(
        config,
        axes_dims=file.sizes("axes_dims", config.axes_dims),
        axes_lens=file.sizes("axes_lens", config.axes_lens),
        rope_theta=file.number("rope_theta", config.rope_theta, most=1e9),
        norm_eps=file.number("norm_eps", config.norm_eps, most=1e-2),
        t_scale=file.number("t_scale", config.t_scale, most=1e6),
    )


def _derive(part: Part) -> TransformerConfig:
    dim, patch_width = part.shape(f"{_X}.weight", 2)
    head_dim = part.shape(_HEAD, 1)[0]
    return TransformerConfig(
        dim=dim,
        num_layers=part.count("layers."),
        num_refiner_layers=part.count("noise_refiner."),
        num_heads=max(1, dim // head_dim),
        in_channels=max(1, patch_width // TransformerConfig().patch_size ** 2),
        caption_width=part.shape("cap_embedder.1.weight", 2)[1],
        axes_dims=(head_dim // 4, head_dim * 3 // 8, head_dim * 3 // 8),  # 32, 48, 48 of 128
        time_hidden=part.shape("t_embedder.mlp.0.weight", 2)[0],
    )


def _odd(sizes: tuple[int, ...]) -> bool:
    return any(size % 2 for size in sizes)


def _blocks(config: TransformerConfig) -> Iterator[tuple[str, bool]]:
    for name, count, modulated in (
        ("layers", config.num_layers, True),
        ("noise_refiner", config.num_refiner_layers, True),
        ("context_refiner", config.num_refiner_layers, False),
    ):
        yield from ((f"{name}.{i}", modulated) for i in range(count))


def _block_sources(modulated: bool, fused: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "qkv", (_FUSED,) if fused else _SPLIT
    yield "w13", ("feed_forward.w1.weight", "feed_forward.w3.weight")
    yield from ((ours, (theirs,)) for ours, theirs in _BLOCK.items())
    if modulated:
        yield from (
            (f"modulation.{leaf}", (f"adaLN_modulation.0.{leaf}",)) for leaf in ("weight", "bias")
        )


def _block_shapes(
    config: TransformerConfig, modulated: bool, fused: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    dim, hidden = config.dim, config.ffn_hidden
    yield from [(_FUSED, (3 * dim, dim))] if fused else [(name, (dim, dim)) for name in _SPLIT]
    yield "attention.to_out.0.weight", (dim, dim)
    yield "attention.norm_q.weight", (config.head_dim,)
    yield "attention.norm_k.weight", (config.head_dim,)
    yield "feed_forward.w1.weight", (hidden, dim)
    yield "feed_forward.w2.weight", (dim, hidden)
    yield "feed_forward.w3.weight", (hidden, dim)
    for norm in ("attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
        yield f"{norm}.weight", (dim,)
    if modulated:
        yield "adaLN_modulation.0.weight", (4 * dim, MODULATION_WIDTH)
        yield "adaLN_modulation.0.bias", (4 * dim,)


def _top_shapes(config: TransformerConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    dim = config.dim
    yield "x_pad_token", (1, dim)
    yield "cap_pad_token", (1, dim)
    yield "cap_embedder.0.weight", (config.caption_width,)
    for name, outputs, inputs in (
        (_X, dim, config.patch_width),
        ("cap_embedder.1", dim, config.caption_width),
        ("t_embedder.mlp.0", config.time_hidden, MODULATION_WIDTH),
        ("t_embedder.mlp.2", MODULATION_WIDTH, config.time_hidden),
        (f"{_FINAL}.adaLN_modulation.1", dim, MODULATION_WIDTH),
        (f"{_FINAL}.linear", config.patch_width, dim),
    ):
        yield f"{name}.weight", (outputs, inputs)
        yield f"{name}.bias", (outputs,)
