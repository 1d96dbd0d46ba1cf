"""The convolutional autoencoder of latent diffusion: pictures to latents and back.

Source: Latent Diffusion (arXiv 2112.10752), with FLUX.1's 16 latent channels as Z-Image uses it.
Parameters carry diffusers' AutoencoderKL names below `encoder.` and `decoder.`. Shapes in
comments: B pictures, C channels, H and W pixels, h = H/8 and w = W/8 (four levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mezzotint.kernels import group_norm_silu
from mezzotint.models.shared import strips
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.convolution import convolve
from mezzotint.models.shared.wide_attention import pad_tokens, wide_attention


class Encoder(nn.Module):
    """Image to latent."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.block_out_channels
        self.conv_in = _conv3(config.in_channels, widths[0])
        self.down_blocks = nn.ModuleList(
            DownBlock(config, width, next_width, last=level == len(widths) - 1)
            for level, (width, next_width) in enumerate(pairwise((widths[0], *widths)))
        )
        self.mid_block = MidBlock(config, widths[-1])
        self.conv_norm_out = _group_norm(config, widths[-1])
        self.conv_out = _conv3(widths[-1], 2 * config.latent_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encode pictures to the mean of their latents, in the diffusion model's space.

        x [B, in_channels, H, W] in [-1, 1], H and W multiples of `downscale`
        -> (mean - shift_factor) * scaling_factor [B, latent_channels, H/8, W/8], about unit
        variance, in the model's dtype. Raises ValueError for sides that are no such multiple.
        """
        _check_sides(x, self.config.downscale)
        x = self.conv_in(_nhwc(x.to(self.conv_in.weight.dtype)))
        for block in self.down_blocks:
            x = block(x)
        x = _norm_silu(self.mid_block(x), self.conv_norm_out)
        mean, _ = self.conv_out(x).chunk(2, 1)  # the other half is the log variance
        return cast("Tensor", (mean - self.config.shift_factor) * self.config.scaling_factor)


class Decoder(nn.Module):
    """Latent to image."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.block_out_channels[::-1]
        self.conv_in = _conv3(config.latent_channels, widths[0])
        self.mid_block = MidBlock(config, widths[0])
        self.up_blocks = nn.ModuleList(
            UpBlock(config, width, next_width, last=level == len(widths) - 1)
            for level, (width, next_width) in enumerate(pairwise((widths[0], *widths)))
        )
        self.conv_norm_out = _group_norm(config, widths[-1])
        self.conv_out = _conv3(widths[-1], config.in_channels)

    def forward(self, z: Tensor, strip_rows: int | None = None) -> Tensor:
        """Decode latents as the diffusion model makes them.

        z [B, latent_channels, h, w], about unit variance; z / scaling_factor + shift_factor is
        taken in z's dtype -> [B, in_channels, 8h, 8w], about [-1, 1], in the model's dtype.
        Given `strip_rows` (2 or more), the last level runs a picture and that many rows at a time.
        """
        z = z / self.config.scaling_factor + self.config.shift_factor
        x = convolve(_nhwc(z.to(self.conv_in.weight.dtype)), self.conv_in)
        *coarse, before, last = cast("Sequence[UpBlock]", self.up_blocks)
        # One by one: nothing but a layer's own input is alive while it runs.
        for layer in (
            *self.mid_block.layers,
            *chain.from_iterable(block.layers for block in coarse),
            *before.resnets,
        ):
            x = layer(x)
        if strip_rows is not None:
            pictures = list(x.split(1))[::-1]
            del x, layer
            return torch.cat([self._in_strips(pictures, strip_rows) for _ in range(len(pictures))])
        for layer in (*before.upsamplers, *last.resnets):
            x = layer(x)
        return convolve(_norm_silu(x, self.conv_norm_out), self.conv_out)

    def _in_strips(self, pictures: list[Tensor], rows: int) -> Tensor:
        """The last of `pictures`, which is taken from the list, so that its memory is free soon."""
        *_, before, last = cast("Sequence[UpBlock]", self.up_blocks)
        (upsampler,) = cast("Sequence[Upsample]", before.upsamplers)
        width = max(upsampler.conv.in_channels, 2 * self.conv_norm_out.num_channels)
        arena = strips.make_arena(pictures.pop(), width)
        strips.upsample(arena, upsampler.conv, rows)
        for resnet in cast("Sequence[Resnet]", last.resnets):
            strips.apply_resnet(arena, resnet, rows)
        return strips.to_picture(arena, self.conv_norm_out, self.conv_out, rows)


class DownBlock(nn.Module):
    """Resnets of one level, then half the size unless it is the last."""

    def __init__(self, config: AutoencoderConfig, width: int, out_width: int, last: bool) -> None:
        super().__init__()
        self.resnets = _resnets(config, width, out_width, config.layers_per_block)
        self.downsamplers = nn.ModuleList([] if last else [Downsample(out_width)])

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', H/2, W/2], or [B, C', H, W] on the last level."""
        return _chain(x, (*self.resnets, *self.downsamplers))


class UpBlock(nn.Module):
    """Resnets of one level, then twice the size unless it is the last."""

    def __init__(self, config: AutoencoderConfig, width: int, out_width: int, last: bool) -> None:
        super().__init__()
        self.resnets = _resnets(config, width, out_width, config.layers_per_block + 1)
        self.upsamplers = nn.ModuleList([] if last else [Upsample(out_width)])

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """What runs, in order."""
        return (*self.resnets, *self.upsamplers)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', 2H, 2W], or [B, C', H, W] on the last level."""
        return _chain(x, self.layers)


class MidBlock(nn.Module):
    """Resnet, attention, resnet at the coarsest level."""

    def __init__(self, config: AutoencoderConfig, width: int) -> None:
        super().__init__()
        self.resnets = _resnets(config, width, width, 2)
        self.attentions = nn.ModuleList([Attention(config, width)] if config.mid_attention else [])

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """What runs, in order."""
        return (self.resnets[0], *self.attentions, self.resnets[1])

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, h, w] -> [B, C, h, w]."""
        return _chain(x, self.layers)


class Resnet(nn.Module):
    """Two convolutions, each behind GroupNorm and SiLU, around a shortcut."""

    def __init__(self, config: AutoencoderConfig, width: int, out_width: int) -> None:
        super().__init__()
        self.norm1 = _group_norm(config, width)
        self.conv1 = _conv3(width, out_width)
        self.norm2 = _group_norm(config, out_width)
        self.conv2 = _conv3(out_width, out_width)
        self.conv_shortcut = None if width == out_width else nn.Conv2d(width, out_width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C', H, W]."""
        h = convolve(_norm_silu(x, self.norm1), self.conv1)
        h = _norm_silu(h, self.norm2)  # in a line of its own: what conv1 made is freed before conv2
        shortcut = x if self.conv_shortcut is None else convolve(x, self.conv_shortcut)
        return convolve(h, self.conv2, residual=shortcut)


class Attention(nn.Module):
    """One head as wide as the level, over all positions of a picture."""

    def __init__(self, config: AutoencoderConfig, width: int) -> None:
        super().__init__()
        self.group_norm = _group_norm(config, width)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])  # a list, for diffusers' name

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, h, w] -> [B, C, h, w]."""
        # Pictures of a batch are equal in size, so no Segments, whose making copies to the device.
        h = _norm_silu(x, self.group_norm, silu=False).flatten(2).mT  # [B, h*w, C]
        length = h.shape[1]
        h = pad_tokens(h)
        h = wide_attention(self.to_q(h), self.to_k(h), self.to_v(h), length)
        h = cast("Tensor", self.to_out[0](h))[:, :length]
        return x + h.mT.reshape(x.shape)


class Downsample(nn.Module):
    """Half the size: a 3x3 convolution of stride 2, padded at the right and the bottom only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C, H/2, W/2]."""
        return cast("Tensor", self.conv(functional.pad(x, (0, 1, 0, 1))))


class Upsample(nn.Module):
    """Twice the size: every element four times, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C, 2H, 2W]."""
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return convolve(x, self.conv)


def _resnets(config: AutoencoderConfig, width: int, out_width: int, num: int) -> nn.ModuleList:
    widths = (width, *(out_width,) * num)
    return nn.ModuleList(Resnet(config, a, b) for a, b in pairwise(widths))


def _group_norm(config: AutoencoderConfig, width: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.norm_num_groups, width, config.norm_eps)


def _conv3(width: int, out_width: int) -> nn.Conv2d:
    return nn.Conv2d(width, out_width, 3, padding=1)


def _norm_silu(x: Tensor, norm: nn.GroupNorm, silu: bool = True) -> Tensor:
    return group_norm_silu(x, norm.weight, norm.bias, norm.num_groups, norm.eps, silu)


def _chain(x: Tensor, blocks: Sequence[nn.Module]) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def _nhwc(x: Tensor) -> Tensor:
    # Channels last on a CPU: a decode takes 0.85 of the time in float32 and 1/40 in bfloat16.
    # Weights may lie so too; every layer below keeps the layout of its input.
    return x.contiguous(memory_format=torch.channels_last)


def _check_sides(x: Tensor, multiple: int) -> None:
    height, width = x.shape[-2:]
    if height % multiple or width % multiple:
        raise ValueError(
            f"a picture of {width}x{height} pixels cannot be encoded: "
            f"crop or resize it to multiples of {multiple}"
        )
