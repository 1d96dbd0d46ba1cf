"""How much arithmetic a step is; the scheduler weighs packs with it."""

from __future__ import annotations

from mezzotint.models.zimage.config import TransformerConfig, padded
from mezzotint.models.zimage.patches import grid
from mezzotint.types import Recipe

TYPICAL_CAPTION_TOKENS = 64


def step_tflop(recipe: Recipe, config: TransformerConfig) -> float:
    """TFLOP of one denoise step (two per multiply-add), with a caption of 64 tokens."""
    rows, columns = grid(recipe.width, recipe.height)
    image = padded(rows * columns)
    forwards = 2 if recipe.guided else 1
    joint = config.num_layers * _block_flop(image + TYPICAL_CAPTION_TOKENS, config)
    refiner = config.num_refiner_layers * _block_flop(image, config)
    return (forwards * joint + refiner) / 1e12


def _block_flop(tokens: int, config: TransformerConfig) -> float:
    weights = 4 * config.dim**2 + 3 * config.dim * config.ffn_hidden
    return 2.0 * tokens * weights + 4.0 * tokens**2 * config.dim
