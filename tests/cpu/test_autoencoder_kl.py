"""The autoencoder against diffusers' AutoencoderKL."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor

import mezzotint
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_keys import key_map
from mezzotint.models.shared.autoencoder_kl import Decoder, Encoder

BUNDLED = Path(mezzotint.__file__).parent / "bundled" / "vae"
CONFIGS = {
    "four levels": AutoencoderConfig(
        block_out_channels=(8, 16, 24, 24), layers_per_block=2, norm_num_groups=4
    ),
    "two levels, no attention": AutoencoderConfig(
        latent_channels=4,
        block_out_channels=(12, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_attention=False,
        scaling_factor=0.18215,
        shift_factor=0.0,
    ),
}
ALL = [*CONFIGS, "bundled"]


@pytest.mark.parametrize("side", ["decoder", "encoder"])
@pytest.mark.parametrize("config", [AutoencoderConfig(), *CONFIGS.values()])
def test_a_checkpoint_holds_what_the_module_reads(
    config: AutoencoderConfig, side: Literal["decoder", "encoder"]
) -> None:
    with torch.device("meta"):
        module = Decoder(config) if side == "decoder" else Encoder(config)
    shapes = {f"{side}.{name}": tuple(p.shape) for name, p in module.named_parameters()}
    assert key_map(config, side).shapes == shapes


@pytest.mark.parametrize("weights", ALL)
def test_decoder_equals_diffusers(weights: str) -> None:
    oracle, _, decoder = _models(weights)
    z = _noise(2, decoder.config.latent_channels, 5, 3)
    ours = _run(decoder, z)
    assert ours.shape == (2, 3, 5 * decoder.config.downscale, 3 * decoder.config.downscale)
    assert _max_error(ours, _oracle_decode(oracle, z)) <= 1e-5


@pytest.mark.parametrize("weights", ALL)
def test_encoder_equals_diffusers(weights: str) -> None:
    oracle, encoder, _ = _models(weights)
    x = _noise(2, 3, 3 * encoder.config.downscale, 5 * encoder.config.downscale).clamp(-1, 1)
    ours = _run(encoder, x)
    assert ours.shape == (2, encoder.config.latent_channels, 3, 5)
    assert _max_error(ours, _oracle_encode(oracle, x)) <= 1e-5


@pytest.mark.parametrize("weights", ["four levels", "bundled"])
def test_bfloat16_is_as_exact_as_diffusers(weights: str) -> None:
    exact, *_ = _models(weights)
    oracle, encoder, decoder = _models(weights, torch.bfloat16)
    z, x = _noise(1, 16, 4, 4).bfloat16(), _noise(1, 3, 32, 32).clamp(-1, 1).bfloat16()
    image, latent = _oracle_decode(exact, z.float()), _oracle_encode(exact, x.float())
    assert _run(decoder, z).dtype == _run(encoder, x).dtype == torch.bfloat16
    decoded, encoded = _rms_error(_run(decoder, z), image), _rms_error(_run(encoder, x), latent)
    assert decoded <= 1.5 * _rms_error(_oracle_decode(oracle, z), image)
    assert encoded <= 1.5 * _rms_error(_oracle_encode(oracle, x), latent)


def test_a_float32_latent_is_unscaled_before_it_is_rounded() -> None:
    _, _, decoder = _models("bundled", torch.bfloat16)
    config = decoder.config
    plain = Decoder(replace(config, scaling_factor=1.0, shift_factor=0.0)).to(torch.bfloat16)
    plain.load_state_dict(decoder.state_dict())
    z = _noise(1, 16, 4, 4)
    unscaled = (z / config.scaling_factor + config.shift_factor).bfloat16()
    assert torch.equal(_run(decoder, z), _run(plain, unscaled))


def test_weights_may_lie_channels_last() -> None:
    _, _, decoder = _models("bundled")
    z = _noise(1, 16, 4, 4)
    before = _run(decoder, z)
    copy = Decoder(decoder.config)
    copy.load_state_dict(decoder.state_dict())
    assert _max_error(_run(copy.to(memory_format=torch.channels_last), z), before) <= 1e-5


@pytest.mark.parametrize("rows", [2, 3, 8, 40, 64])
@pytest.mark.parametrize("weights", ALL)
def test_strips_make_the_same_picture(weights: str, rows: int) -> None:
    _, _, decoder = _models(weights)
    z = _noise(2, decoder.config.latent_channels, 5, 3)
    in_strips = _run(decoder, z, rows)
    assert in_strips.shape == (2, 3, 5 * decoder.config.downscale, 3 * decoder.config.downscale)
    assert _max_error(in_strips, _run(decoder, z)) <= 1e-5


def test_strips_of_bfloat16_are_as_exact_as_the_whole() -> None:
    exact, *_ = _models("bundled")
    _, _, decoder = _models("bundled", torch.bfloat16)
    z = _noise(1, 16, 8, 6).bfloat16()
    picture = _oracle_decode(exact, z.float())
    whole, in_strips = _run(decoder, z), _run(decoder, z, 24)
    assert in_strips.dtype == torch.bfloat16
    assert _rms_error(in_strips, picture) <= 1.1 * _rms_error(whole, picture)
    # Of what a picture spans, [-1, 1]; bf16 itself is this far from float32.
    assert _psnr(in_strips, whole) >= 50


def test_defaults_have_the_released_names_shapes_and_size() -> None:
    with torch.device("meta"):
        encoder, decoder = Encoder(AutoencoderConfig()), Decoder(AutoencoderConfig())
        oracle = AutoencoderKL(**_diffusers_config(AutoencoderConfig()))
    ours = {f"encoder.{k}": v.shape for k, v in encoder.state_dict().items()}
    ours |= {f"decoder.{k}": v.shape for k, v in decoder.state_dict().items()}
    assert ours == {name: value.shape for name, value in oracle.state_dict().items()}
    assert len(ours) == 244
    assert sum(shape.numel() for shape in ours.values()) == 83_819_683


def test_encoder_refuses_sides_it_would_cut() -> None:
    _, encoder, _ = _models("four levels")
    with pytest.raises(ValueError, match=r"36x32 pixels .* multiples of 8"):
        encoder(torch.zeros(1, 3, 32, 36))


@cache
def _models(
    weights: str, dtype: torch.dtype = torch.float32
) -> tuple[AutoencoderKL, Encoder, Decoder]:
    """The oracle and ours on the same weights, which are bfloat16 values in either dtype."""
    config = CONFIGS[weights] if weights in CONFIGS else _bundled_config()
    oracle = AutoencoderKL(**_diffusers_config(config)).eval()
    if weights == "bundled":
        state = load_file(BUNDLED / "diffusion_pytorch_model.safetensors")
    else:
        state = _random(oracle)
    oracle.load_state_dict(state)
    encoder, decoder = Encoder(config), Decoder(config)
    encoder.load_state_dict(_below("encoder.", state))
    decoder.load_state_dict(_below("decoder.", state))
    # Channels last only because a CPU convolves bfloat16 40 times as fast so.
    oracle = oracle.to(dtype).to(memory_format=torch.channels_last)
    return oracle, encoder.to(dtype), decoder.to(dtype)


def _below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _random(oracle: AutoencoderKL) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    state = {}
    for name, value in oracle.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        is_norm_weight = value.ndim == 1 and name.endswith("weight")
        drawn = noise * (value[0].numel() ** -0.5 if value.ndim > 1 else 0.3) + is_norm_weight
        state[name] = drawn.bfloat16()
    return state


def _bundled_config() -> AutoencoderConfig:
    values = json.loads((BUNDLED / "config.json").read_text())
    return AutoencoderConfig(
        in_channels=values["in_channels"],
        latent_channels=values["latent_channels"],
        block_out_channels=tuple(values["block_out_channels"]),
        layers_per_block=values["layers_per_block"],
        norm_num_groups=values["norm_num_groups"],
        mid_attention=values["mid_block_add_attention"],
        scaling_factor=values["scaling_factor"],
        shift_factor=values["shift_factor"],
    )


def _diffusers_config(config: AutoencoderConfig) -> dict[str, object]:
    levels = len(config.block_out_channels)
    return {
        "in_channels": config.in_channels,
        "out_channels": config.in_channels,
        "latent_channels": config.latent_channels,
        "block_out_channels": config.block_out_channels,
        "layers_per_block": config.layers_per_block,
        "norm_num_groups": config.norm_num_groups,
        "mid_block_add_attention": config.mid_attention,
        "scaling_factor": config.scaling_factor,
        "shift_factor": config.shift_factor,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def _run(model: torch.nn.Module, x: Tensor, *rows: int) -> Tensor:
    return model(x, *rows)


@torch.inference_mode()
def _oracle_decode(oracle: AutoencoderKL, z: Tensor) -> Tensor:
    z = z / oracle.config.scaling_factor + oracle.config.shift_factor
    return oracle.decode(z.contiguous(memory_format=torch.channels_last)).sample


@torch.inference_mode()
def _oracle_encode(oracle: AutoencoderKL, x: Tensor) -> Tensor:
    mean = oracle.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist.mean
    return (mean - oracle.config.shift_factor) * oracle.config.scaling_factor


def _max_error(x: Tensor, exact: Tensor) -> float:
    return ((x - exact).abs().max() / exact.abs().max()).item()


def _rms_error(x: Tensor, exact: Tensor) -> float:
    return ((x - exact).norm() / exact.norm()).item()


def _psnr(x: Tensor, exact: Tensor) -> float:
    return -20 * ((x - exact).float().norm() / x.numel() ** 0.5 / 2).log10().item()
