"""The names of Qwen3's tensors in transformers' layout, and the sizes they tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mezzotint.models.checkpoint import KeyMap, Part
from mezzotint.models.config_file import ConfigFile
from mezzotint.models.shared.qwen3_config import Qwen3Config

ANCHORS = ("layers.0.self_attn.q_norm.weight", "embed_tokens.weight")

_LAYER = {
    "input_norm": ("input_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "q_norm": ("self_attn.q_norm",),
    "k_norm": ("self_attn.k_norm",),
    "out": ("self_attn.o_proj",),
    "post_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}

_ONLY = (
    ("model_type", "qwen3"),
    ("hidden_act", "silu"),
    ("attention_bias", False),
    ("use_sliding_window", False),
    ("rope_scaling", None),
)


def key_map(config: Qwen3Config) -> KeyMap:
    """Where each parameter of our Qwen3 comes from: all layers but the last."""
    sources: dict[str, tuple[str, ...]] = {"embed_tokens": ("embed_tokens.weight",)}
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (config.vocab_size, config.hidden_size)
    }
    for i in range(config.num_layers - 1):
        for ours, names in _LAYER.items():
            sources[f"layers.{i}.{ours}"] = tuple(f"layers.{i}.{name}.weight" for name in names)
        for name, shape in _layer_shapes(config):
            shapes[f"layers.{i}.{name}.weight"] = shape
    return KeyMap(sources, shapes)


def unread(part: Part, config: Qwen3Config) -> Iterator[str]:
    """Tensors of a language model that a text encoder has no use for."""
    last = re.compile(rf"layers\.{config.num_layers - 1}\.|norm\.weight$|lm_head\.weight$")
    return (name for name in part.tensors if last.match(name))


def config_of(part: Part, file: ConfigFile | None) -> Qwen3Config:
    """The sizes that the shapes tell, held against config.json where there is one.

    What shapes cannot tell is as in Qwen3-4B without the file. ModelError where the two differ or
    the file wants what our Qwen3 does not do.
    """
    config = _derive(part)
    if file is None:
        # Qwen3-4B is sometimes kept without the last layer, which a text encoder never runs.
        released = Qwen3Config()
        without_last = replace(released, num_layers=released.num_layers - 1)
        return released if config == without_last else config
    for key, *allowed in _ONLY:
        file.only(key, *allowed)
    for key, found in (
        ("vocab_size", config.vocab_size),
        ("hidden_size", config.hidden_size),
        ("num_attention_heads", config.num_heads),
        ("num_key_value_heads", config.num_kv_heads),
        ("head_dim", config.head_dim),
        ("intermediate_size", config.intermediate_size),
    ):
        file.agree(key, found)
    # The last layer is not read, so a file may come without it.
    stated = file.values.get("num_hidden_layers")
    if stated == config.num_layers + 1:
        config = replace(config, num_layers=config.num_layers + 1)
    file.agree("num_hidden_layers", config.num_layers)
    return replace(
        config,
        norm_eps=file.number("rms_norm_eps", config.norm_eps, most=1e-2),
        rope_theta=_rope_theta(file, config.rope_theta),
    )


def _rope_theta(file: ConfigFile, default: float) -> float:
    rope = file.values.get("rope_parameters")  # the older layout has rope_theta at the top
    if not isinstance(rope, dict):
        return file.number("rope_theta", default, most=1e9)
    nested = ConfigFile(file.path, rope)
    nested.only("rope_type", "default")
    return nested.number("rope_theta", default, most=1e9)


def _derive(part: Part) -> Qwen3Config:
    vocab_size, hidden_size = part.shape("embed_tokens.weight", 2)
    head_dim = part.shape("layers.0.self_attn.q_norm.weight", 1)[0]
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=part.count("layers."),
        num_heads=max(1, part.shape("layers.0.self_attn.q_proj.weight", 2)[0] // head_dim),
        num_kv_heads=max(1, part.shape("layers.0.self_attn.k_proj.weight", 2)[0] // head_dim),
        head_dim=head_dim,
        intermediate_size=part.shape("layers.0.mlp.gate_proj.weight", 2)[0],
    )


def _layer_shapes(config: Qwen3Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, head_dim, wide = config.hidden_size, config.head_dim, config.intermediate_size
    yield "input_layernorm", (hidden,)
    yield "post_attention_layernorm", (hidden,)
    yield "self_attn.q_norm", (head_dim,)
    yield "self_attn.k_norm", (head_dim,)
    yield "self_attn.q_proj", (config.num_heads * head_dim, hidden)
    yield "self_attn.k_proj", (config.num_kv_heads * head_dim, hidden)
    yield "self_attn.v_proj", (config.num_kv_heads * head_dim, hidden)
    yield "self_attn.o_proj", (hidden, config.num_heads * head_dim)
    yield "mlp.gate_proj", (wide, hidden)
    yield "mlp.up_proj", (wide, hidden)
    yield "mlp.down_proj", (hidden, wide)
