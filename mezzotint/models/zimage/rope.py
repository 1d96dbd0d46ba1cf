"""Rotary position tables of the three axes: caption index or frame, row, column."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from mezzotint.models.zimage.config import TransformerConfig


def caption_positions(length: int) -> Tensor:
    """(1..L, 0, 0) for a caption padded to L tokens. -> [L, 3] int64."""
    positions = torch.zeros(length, 3, dtype=torch.int64)
    positions[:, 0] = torch.arange(1, length + 1)
    return positions


def image_positions(rows: int, columns: int, padded_length: int, caption_length: int) -> Tensor:
    """(L+1, row, column) in row-major order, then (0, 0, 0) for each pad. -> [padded, 3] int64."""
    positions = torch.zeros(padded_length, 3, dtype=torch.int64)
    image = positions[: rows * columns].unflatten(0, (rows, columns))
    image[..., 0] = caption_length + 1
    image[..., 1] = torch.arange(rows)[:, None]
    image[..., 2] = torch.arange(columns)
    return positions


def rope_tables(positions: Tensor, config: TransformerConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of every token's angles. positions [T, 3] -> two of [T, head_dim/2] float32."""
    tables = [
        _axis_angles(dim, length, config.rope_theta)[positions[:, axis]]
        for axis, (dim, length) in enumerate(zip(config.axes_dims, config.axes_lens, strict=True))
    ]
    angles = torch.cat(tables, -1)
    return angles.cos(), angles.sin()


@cache
def _axis_angles(dim: int, length: int, theta: float) -> Tensor:
    # The product is taken in float64 and rounded once, as the reference does: at position 1500 a
    # float32 product would be off by 1e-4 rad.
    frequencies = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    return torch.outer(torch.arange(length, dtype=torch.float64), frequencies).float()
