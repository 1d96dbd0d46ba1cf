"""The names of an autoencoder's tensors in diffusers' and in BFL's layout, and what they tell."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from mezzotint.models.checkpoint import KeyMap, Part
from mezzotint.models.config_file import ConfigFile
from mezzotint.models.safetensors_file import AGAIN
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.types import ModelError

ANCHORS = ("decoder.conv_in.weight", "decoder.conv_out.weight")

_Shape = tuple[str, tuple[int, ...]]  # a parameter and its shape

_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


def is_bfl(names: Container[str]) -> bool:
    """Whether an autoencoder's names are BFL's."""
    return "decoder.mid.block_1.conv1.weight" in names


def diffusers_name(name: str, num_levels: int) -> str:
    """The name diffusers gives a tensor of BFL's layout, whose up blocks count from the finest."""
    side, _, rest = name.partition(".")
    rest = re.sub(r"^norm_out\.", "conv_norm_out.", rest)
    rest = re.sub(r"\bnin_shortcut\b", "conv_shortcut", rest)
    rest = re.sub(r"^mid\.block_(\d)\.", lambda m: f"mid_block.resnets.{int(m[1]) - 1}.", rest)
    rest = re.sub(
        r"^mid\.attn_1\.(\w+)\.",
        lambda m: f"mid_block.attentions.0.{_ATTENTION.get(m[1], m[1])}.",
        rest,
    )
    rest = re.sub(r"^down\.(\d+)\.block\.", r"down_blocks.\1.resnets.", rest)
    rest = re.sub(r"^down\.(\d+)\.downsample\.", r"down_blocks.\1.downsamplers.0.", rest)
    up = re.match(r"^up\.(\d+)\.(block|upsample)\.(.*)$", rest)
    if up:
        kind = "resnets" if up[2] == "block" else "upsamplers.0"
        rest = f"up_blocks.{num_levels - 1 - int(up[1])}.{kind}.{up[3]}"
    return f"{side}.{rest}"


def key_map(config: AutoencoderConfig, side: Literal["decoder", "encoder"]) -> KeyMap:
    """Where each parameter of our Decoder or Encoder comes from: the same name below `side`."""
    shapes = dict(_decoder(config) if side == "decoder" else _encoder(config))
    return KeyMap(
        {name: (f"{side}.{name}",) for name in shapes},
        {f"{side}.{name}": shape for name, shape in shapes.items()},
    )


def config_of(part: Part, file: ConfigFile | None) -> AutoencoderConfig:
    """The sizes that names and shapes tell, held against config.json where there is one.

    What they cannot tell is as in FLUX.1 without the file. ModelError where the two differ or the
    file wants what our autoencoder does not do.
    """
    config = _derive(part)
    if file is not None:
        config = _hold_against(config, file)
    for width in config.block_out_channels:
        if width % config.norm_num_groups:
            raise ModelError(
                f"{part.path} has a level of {width} channels, which {config.norm_num_groups} "
                f"groups do not divide; {AGAIN}"
            )
    return config


def _hold_against(config: AutoencoderConfig, file: ConfigFile) -> AutoencoderConfig:
    levels = len(config.block_out_channels)
    file.only("_class_name", "AutoencoderKL")
    file.only("act_fn", "silu")
    file.only("down_block_types", ["DownEncoderBlock2D"] * levels)
    file.only("up_block_types", ["UpDecoderBlock2D"] * levels)
    file.only("use_quant_conv", False)
    file.only("use_post_quant_conv", False)
    file.only("latents_mean", None)
    file.only("latents_std", None)
    file.agree("in_channels", config.in_channels)
    file.agree("out_channels", config.in_channels)
    file.agree("latent_channels", config.latent_channels)
    file.agree("block_out_channels", list(config.block_out_channels))
    file.agree("layers_per_block", config.layers_per_block)
    file.agree("mid_block_add_attention", config.mid_attention)
    return replace(
        config,
        norm_num_groups=file.size("norm_num_groups", config.norm_num_groups),
        scaling_factor=file.number("scaling_factor", config.scaling_factor, most=100.0),
        shift_factor=file.offset("shift_factor", config.shift_factor),
    )


def _derive(part: Part) -> AutoencoderConfig:
    levels = range(part.count("decoder.up_blocks."))
    widths = [part.shape(f"decoder.up_blocks.{i}.resnets.0.conv1.weight", 4)[0] for i in levels]
    return AutoencoderConfig(
        in_channels=part.shape("decoder.conv_out.weight", 4)[0],
        latent_channels=part.shape("decoder.conv_in.weight", 4)[1],
        block_out_channels=tuple(reversed(widths)),
        layers_per_block=max(1, part.count("decoder.up_blocks.0.resnets.") - 1),
        mid_attention=part.count("decoder.mid_block.attentions.") > 0,
    )


def _decoder(config: AutoencoderConfig) -> Iterator[_Shape]:
    widths = config.block_out_channels[::-1]
    yield from _conv("conv_in", widths[0], config.latent_channels)
    yield from _mid_block(widths[0], config.mid_attention)
    for level, (before, width) in enumerate(pairwise((widths[0], *widths))):
        yield from _resnets(f"up_blocks.{level}", width, before, config.layers_per_block + 1)
        if level < len(widths) - 1:
            yield from _conv(f"up_blocks.{level}.upsamplers.0.conv", width, width)
    yield from _norm("conv_norm_out", widths[-1])
    yield from _conv("conv_out", config.in_channels, widths[-1])


def _encoder(config: AutoencoderConfig) -> Iterator[_Shape]:
    widths = config.block_out_channels
    yield from _conv("conv_in", widths[0], config.in_channels)
    for level, (before, width) in enumerate(pairwise((widths[0], *widths))):
        yield from _resnets(f"down_blocks.{level}", width, before, config.layers_per_block)
        if level < len(widths) - 1:
            yield from _conv(f"down_blocks.{level}.downsamplers.0.conv", width, width)
    yield from _mid_block(widths[-1], config.mid_attention)
    yield from _norm("conv_norm_out", widths[-1])
    yield from _conv("conv_out", 2 * config.latent_channels, widths[-1])


def _mid_block(width: int, attention: bool) -> Iterator[_Shape]:
    yield from _resnets("mid_block", width, width, 2)
    if attention:
        name = "mid_block.attentions.0"
        yield from _norm(f"{name}.group_norm", width)
        for linear in ("to_q", "to_k", "to_v", "to_out.0"):
            yield f"{name}.{linear}.weight", (width, width)
            yield f"{name}.{linear}.bias", (width,)


def _resnets(block: str, width: int, before: int, num: int) -> Iterator[_Shape]:
    for index, (source, target) in enumerate(pairwise((before, *(width,) * num))):
        name = f"{block}.resnets.{index}"
        yield from _norm(f"{name}.norm1", source)
        yield from _conv(f"{name}.conv1", target, source)
        yield from _norm(f"{name}.norm2", target)
        yield from _conv(f"{name}.conv2", target, target)
        if source != target:
            yield from _conv(f"{name}.conv_shortcut", target, source, side=1)


def _conv(name: str, width: int, before: int, side: int = 3) -> Iterator[_Shape]:
    yield f"{name}.weight", (width, before, side, side)
    yield f"{name}.bias", (width,)


def _norm(name: str, width: int) -> Iterator[_Shape]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
