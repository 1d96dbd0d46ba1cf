"""The text encoder against transformers' Qwen3Model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

import mezzotint
from mezzotint.kernels import Segments
from mezzotint.models.shared.qwen3 import Qwen3, rope_tables
from mezzotint.models.shared.qwen3_config import Qwen3Config

BUNDLED = Path(mezzotint.__file__).parent / "bundled" / "text_encoder"
LENGTHS = (1, 8, 32, 33, 64)
TINY = Qwen3Config(
    vocab_size=97,
    hidden_size=40,
    num_layers=4,
    num_heads=6,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=72,
)
OUR_NAMES = {  # ours, from transformers' tensors joined row-wise
    "input_norm": ("input_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "q_norm": ("self_attn.q_norm",),
    "k_norm": ("self_attn.k_norm",),
    "out": ("self_attn.o_proj",),
    "post_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@pytest.mark.parametrize("weights", ["random", "bundled"])
def test_equals_transformers(weights: str) -> None:
    oracle, model = _pair(weights)
    prompts = _prompts(model.config.vocab_size, LENGTHS)
    for prompt, features in zip(prompts, _encode(model, prompts), strict=True):
        assert _max_error(features, _oracle(oracle, prompt)) <= 1e-5


@pytest.mark.parametrize("weights", ["random", "bundled"])
@pytest.mark.parametrize("lengths", [LENGTHS, (33, 33, 33)], ids=["ragged", "equal"])
def test_packed_equals_alone(weights: str, lengths: tuple[int, ...]) -> None:
    _, model = _pair(weights)
    prompts = _prompts(model.config.vocab_size, lengths)
    for prompt, packed in zip(prompts, _encode(model, prompts), strict=True):
        (alone,) = _encode(model, [prompt])
        assert _max_error(packed, alone) <= 1e-5


@pytest.mark.parametrize("weights", ["random", "bundled"])
def test_bfloat16_is_as_exact_as_transformers(weights: str) -> None:
    oracle, model = _pair(weights)
    prompts = _prompts(model.config.vocab_size, LENGTHS)
    exact = torch.cat([_oracle(oracle, prompt) for prompt in prompts])
    oracle, model = _pair(weights, torch.bfloat16)
    theirs = torch.cat([_oracle(oracle, prompt) for prompt in prompts])
    ours = torch.cat(_encode(model, prompts))
    assert ours.dtype == torch.bfloat16
    assert _rms_error(ours, exact) <= 1.5 * _rms_error(theirs, exact)


def test_rope_positions_restart_with_every_prompt() -> None:
    """Angles matter by difference alone, so only the tables can tell; they decide the last bit."""
    config = Qwen3Config()
    packed = rope_tables(Segments.of((33, 512), torch.device("cpu")), config)
    alone = rope_tables(Segments.of((512,), torch.device("cpu")), config)
    for table, expected in zip(packed, alone, strict=True):
        assert torch.equal(table, torch.cat([expected[:33], expected]))


def test_rope_tables_are_rounded_once() -> None:
    cos, sin = rope_tables(Segments.of((512,), torch.device("cpu")), Qwen3Config())
    angles = [511 * 1e6 ** (-2 * k / 128) for k in range(64)]
    assert torch.equal(cos[511], torch.tensor([math.cos(angle) for angle in angles]))
    assert torch.equal(sin[511], torch.tensor([math.sin(angle) for angle in angles]))


def test_qwen3_4b_has_the_checkpoints_size_less_its_last_layer_and_norm() -> None:
    with torch.device("meta"):
        model = Qwen3(Qwen3Config())
        oracle = transformers.Qwen3Model(_transformers_config(Qwen3Config()))
    layer = 2560 * (48 * 128 + 32 * 128 + 3 * 9728) + 2 * 128 + 2 * 2560
    assert layer == 100_930_816
    assert _num_parameters(model) == 35 * layer + 151936 * 2560 == 3_921_534_720
    skipped = _num_parameters(oracle.layers[-1]) + _num_parameters(oracle.norm)
    assert _num_parameters(model) == _num_parameters(oracle) - skipped


def test_forward_reads_no_value_of_a_device_tensor() -> None:
    """A meta tensor has no values, so a hidden copy to the host would raise."""
    meta = torch.device("meta")
    with meta:
        model = Qwen3(TINY)
    features = model(
        model.embed(torch.zeros(9, dtype=torch.int64), meta), Segments.of((4, 5), meta)
    )
    assert features.shape == (9, TINY.hidden_size)


@cache
def _pair(
    weights: str, dtype: torch.dtype = torch.float32
) -> tuple[transformers.Qwen3Model, Qwen3]:
    """The oracle and our model on the same weights, which are bfloat16 values in either dtype."""
    config = TINY if weights == "random" else _bundled_config()
    oracle = transformers.Qwen3Model(_transformers_config(config)).eval()
    state = load_file(BUNDLED / "model.safetensors") if weights == "bundled" else _random(oracle)
    oracle.load_state_dict(state)
    model = Qwen3(config)
    model.load_state_dict(_rename(state, config.num_layers - 1))
    return oracle.to(dtype), model.to(dtype)


def _random(oracle: transformers.Qwen3Model) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    state = {}
    for name, value in oracle.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        drawn = 1 + 0.3 * noise if value.ndim == 1 else 1.5 * noise * value.shape[1] ** -0.5
        state[name] = drawn.bfloat16()
    return state


def _rename(state: dict[str, Tensor], num_layers: int) -> dict[str, Tensor]:
    renamed = {"embed_tokens": state["embed_tokens.weight"]}
    for n in range(num_layers):
        for ours, theirs in OUR_NAMES.items():
            parts = [state[f"layers.{n}.{name}.weight"] for name in theirs]
            renamed[f"layers.{n}.{ours}"] = torch.cat(parts)
    return renamed


def _bundled_config() -> Qwen3Config:
    values = json.loads((BUNDLED / "config.json").read_text())
    return Qwen3Config(
        vocab_size=values["vocab_size"],
        hidden_size=values["hidden_size"],
        num_layers=values["num_hidden_layers"],
        num_heads=values["num_attention_heads"],
        num_kv_heads=values["num_key_value_heads"],
        head_dim=values["head_dim"],
        intermediate_size=values["intermediate_size"],
        norm_eps=values["rms_norm_eps"],
        rope_theta=values["rope_parameters"]["rope_theta"],
    )


def _transformers_config(config: Qwen3Config) -> transformers.Qwen3Config:
    return transformers.Qwen3Config(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_kv_heads,
        head_dim=config.head_dim,
        intermediate_size=config.intermediate_size,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
    )


def _prompts(vocab_size: int, lengths: Sequence[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [torch.randint(vocab_size, (length,), generator=generator) for length in lengths]


@torch.inference_mode()
def _encode(model: Qwen3, prompts: Sequence[Tensor]) -> list[Tensor]:
    lengths = [len(prompt) for prompt in prompts]
    rows = model.embed(torch.cat(list(prompts)), torch.device("cpu"))
    features = model(rows, Segments.of(lengths, torch.device("cpu")))
    return list(features.split(lengths))


@torch.inference_mode()
def _oracle(oracle: transformers.Qwen3Model, prompt: Tensor) -> Tensor:
    return oracle(prompt[None], output_hidden_states=True).hidden_states[-2][0]


def _max_error(x: Tensor, exact: Tensor) -> float:
    return ((x - exact).abs().max() / exact.abs().max()).item()


def _rms_error(x: Tensor, exact: Tensor) -> float:
    return ((x - exact).norm() / exact.norm()).item()


def _num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
