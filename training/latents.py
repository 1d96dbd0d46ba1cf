"""The latent bank: every training picture rendered and encoded once, kept on the device."""

import time
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from training.captions import Captioned
from training.data.render import Stage, render
from training.device import autocast

_CHUNK = 1024


@dataclass(frozen=True)
class Bank:
    """Latents of one size with their captions.

    latents: bf16 [N, 16, H/8, W/8], shifted and scaled to unit size; tokens: int16 [N, 3, 64];
    length: int16 [N, 3].
    """

    width: int
    height: int
    latents: Tensor
    tokens: Tensor
    length: Tensor


@torch.no_grad()
def encode_bank(
    stage: Stage, vae: AutoencoderKL, captioned: Captioned, mean: float, deviation: float
) -> Bank:
    """Render and encode pictures of one size."""
    device = stage.plains.device
    start, done, latents = time.monotonic(), 0, []
    size = captioned.pictures
    for i in range(0, len(size), _CHUNK):
        pictures = render(stage, size[i : i + _CHUNK]) * 2 - 1
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with autocast(device.type):
            z = vae.encode(pictures).latent_dist.mean.float()
        latents.append(((z - mean) / deviation).bfloat16().contiguous())
        done += len(z)
    if device.type == "cuda":
        torch.cuda.synchronize()
    spent = time.monotonic() - start
    print(
        f"latents {size.width}x{size.height}: {done} in {spent:.0f} s, {done / spent:.0f}/s",
        flush=True,
    )
    tokens = torch.from_numpy(captioned.tokens).to(device)
    length = torch.from_numpy(captioned.length).to(device)
    return Bank(size.width, size.height, torch.cat(latents), tokens, length)
