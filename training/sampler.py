"""Sampling for evaluation and sheets: the pipeline's Euler steps, a whole batch at a time."""

from itertools import pairwise

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import Tensor

from training.forward import Geometry, predict

SHIFT = 2.0  # the scheduler's static shift; pictures this small need less than Z-Image's 3


def shifted(u: Tensor) -> Tensor:
    """The noise level of a point u of the schedule, 1 (noise) to 0 (clean)."""
    return SHIFT * u / (1 + (SHIFT - 1) * u)


def guided(
    model: ZImageTransformer2DModel, z: Tensor, sigma: Tensor, text: Tensor, mask: Tensor,
    empty: tuple[Tensor, Tensor], guidance: float, geo: Geometry,
) -> Tensor:  # fmt: skip
    """Velocity with diffusers' guidance: pos + g (pos - neg)."""
    positive = predict(model, z, 1 - sigma, text, mask, geo).float()
    if guidance == 0:
        return positive
    features, empty_mask = (e.expand(len(z), *e.shape[1:]) for e in empty)
    negative = predict(model, z, 1 - sigma, features, empty_mask, geo).float()
    return positive + guidance * (positive - negative)


@torch.no_grad()
def sample(
    model: ZImageTransformer2DModel, noise: Tensor, text: Tensor, mask: Tensor,
    empty: tuple[Tensor, Tensor], guidance: float, steps: int, geo: Geometry,
) -> Tensor:  # fmt: skip
    """Latents [B, 16, H/8, W/8] from noise of that shape."""
    sigmas = shifted(torch.linspace(1, 0, steps + 1, device=noise.device))
    z = noise
    for now, then in pairwise(sigmas):
        sigma = now.expand(len(z))
        z = z + (now - then) * guided(model, z, sigma, text, mask, empty, guidance, geo)
    return z


@torch.no_grad()
def decode(vae: AutoencoderKL, z: Tensor) -> Tensor:
    """Pictures in 0..1, [B, 3, H, W], from latents as the transformer sees them."""
    z = z / vae.config.scaling_factor + vae.config.shift_factor
    return (vae.decode(z).sample.float() / 2 + 0.5).clamp(0, 1)
