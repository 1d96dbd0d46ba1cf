"""What a Z-Image needs of its device's memory, from its configuration alone."""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from mezzotint.kernels import quantize_matrix
from mezzotint.models.footprint import Footprint
from mezzotint.models.materialize import Chooses, Quantize, nothing
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.decode import STRIP_BYTES
from mezzotint.models.zimage.patches import PATCH_PIXELS
from mezzotint.models.zimage.precision import text_encoder_fp8, transformer_fp8
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.types import Precision

_ELEMENT = {"fp32": 4, "bf16": 2, "fp8": 2}  # bytes of an activation, and of a weight not in FP8
_CAPTION_TOKENS = 512  # the longest caption, of the prompt and of the negative prompt each
_STRIPS_HELD = 3  # a window, and what two convolutions made of it


@lru_cache(maxsize=8)
def footprint_of(
    transformer: TransformerConfig,
    text_encoder: Qwen3Config,
    autoencoder: AutoencoderConfig,
    precision: Precision,
) -> Footprint:
    """Count the weights of modules without memory, and what the stages hold by their shapes."""
    element = _ELEMENT[precision]
    with torch.device("meta"):
        networks = (Qwen3(text_encoder), Transformer(transformer), Decoder(autoencoder))
    choices = (text_encoder_fp8, transformer_fp8, nothing)
    weights = sum(
        _bytes_of(network, choose if precision == "fp8" else nothing, element)
        for network, choose in zip(networks, choices, strict=True)
    )
    rows = element * networks[0].embed_tokens.numel()
    return Footprint(
        weights=weights - rows,
        text_rows=rows,
        element=element,
        work=partial(_work, transformer, text_encoder, autoencoder, element),
    )


def _bytes_of(network: nn.Module, fp8: Chooses, element: int) -> int:
    return sum(
        element * parameter.numel()
        if (quantize := fp8(name)) is None
        else parameter.numel() + 4 * _num_scales(quantize, parameter)
        for name, parameter in network.named_parameters()
    )


def _num_scales(quantize: Quantize, weight: Tensor) -> int:
    return 1 if quantize is quantize_matrix else weight.shape[0]


def _work(
    transformer: TransformerConfig,
    text_encoder: Qwen3Config,
    autoencoder: AutoencoderConfig,
    element: int,
    pixels: int,
    guided: bool,
) -> int:
    # The stages overlap, each on its own stream, and memory freed on one is not the others'.
    prompts = 2 if guided else 1
    tokens = prompts * (pixels // PATCH_PIXELS**2 + _CAPTION_TOKENS)
    return (
        _CAPTION_TOKENS * prompts * _layer_bytes(text_encoder, element)
        + tokens * _block_bytes(transformer, element)
        + _decode_bytes(autoencoder, pixels, element)
    )


def _layer_bytes(config: Qwen3Config, element: int) -> int:
    """Of a token, at the widest place: the stream, its norm, gate and up, and their product."""
    return element * (3 * config.hidden_size + 3 * config.intermediate_size)


def _block_bytes(config: TransformerConfig, element: int) -> int:
    """Of a token, at the widest place; and its positions' cosines and sines in float32."""
    return element * (4 * config.dim + 3 * config.ffn_hidden) + 4 * config.head_dim


def _decode_bytes(config: AutoencoderConfig, pixels: int, element: int) -> int:
    """Of the last level, the widest: in strips an arena and what it grows from, or whole."""
    fine, coarse = config.block_out_channels[:2]
    if element * pixels * coarse > STRIP_BYTES:
        arena, small = max(coarse, 2 * fine), coarse // 4
        return element * pixels * arena + max(element * pixels * small, _STRIPS_HELD * STRIP_BYTES)
    return element * pixels * (2 * coarse + fine)
