"""x' = x - (sigma' - sigma) * guided(pos, neg): one Euler step of the flow, in float32."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = torch.finfo(torch.float32).tiny  # keeps 0 / 0 from making a latent NaN


def flow_step(
    x: Tensor,
    pos: Tensor,
    neg: Tensor | None,
    sigma: float,
    next_sigma: float,
    guidance: float,
    rescale: float,
) -> Tensor:
    """Move one latent from noise level sigma to next_sigma.

    x [T, C] float32; pos and neg [T, C] are the model's outputs with and without the prompt
    (neg None: no guidance). The model predicts clean minus noise, so its sign is flipped.
    guided = pos + guidance * (pos - neg), its norm capped at rescale * |pos| when rescale > 0.
    """
    velocity = pos.float() if neg is None else _guide(pos.float(), neg.float(), guidance, rescale)
    return x - (next_sigma - sigma) * velocity


def _guide(pos: Tensor, neg: Tensor, guidance: float, rescale: float) -> Tensor:
    guided = pos + guidance * (pos - neg)
    if rescale <= 0.0:
        return guided
    limit: Tensor = rescale * torch.linalg.vector_norm(pos)
    norm: Tensor = torch.linalg.vector_norm(guided).clamp(min=TINY)
    return guided * (limit / norm).clamp(max=1.0)
