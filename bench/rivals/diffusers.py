"""diffusers' ZImagePipeline: as its users run it, and with its blocks compiled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from bench.rivals.rival import Draw, Rival
from bench.rivals.weights import SharedWeights, fill
from mezzotint.measure.workload import Workload

TOKENIZER = Path(__file__).parents[2] / "mezzotint" / "bundled" / "tokenizer"
RECOMPILES = 64  # of one block: every size, caption length and batch is a new one


def pipeline_of(weights: SharedWeights) -> Any:
    """The pipeline on the shared weights; what they lack (the VAE's encoder) is its own."""
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline
    from transformers import AutoTokenizer

    before = torch.get_default_dtype()
    torch.set_default_dtype(weights.dtype)
    try:
        with weights.device:
            transformer, text_encoder, vae = _networks(weights)
    finally:
        torch.set_default_dtype(before)
    fill(transformer, weights.transformer, ())
    fill(text_encoder, weights.text_encoder, (last_layer(weights), "norm."))
    fill(vae, weights.decoder, ("encoder.",))
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    tokenizer.backend_tokenizer.no_truncation()
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0)
    pipeline = ZImagePipeline(scheduler, vae, text_encoder, tokenizer, transformer)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawer(pipeline: Any) -> Draw:
    """Calls a pipeline; noise from the CPU, seed 0 and up."""

    def draw(prompts: Sequence[str], workload: Workload) -> list[Image]:
        images: list[Image] = pipeline(
            list(prompts),
            width=workload.width,
            height=workload.height,
            num_inference_steps=workload.steps,
            guidance_scale=workload.guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in range(len(prompts))],
        ).images
        return images

    return draw


def qwen3(weights: SharedWeights) -> Any:
    """transformers' Qwen3 of the shared size."""
    from transformers import Qwen3Config, Qwen3Model

    sizes = weights.sizes.text_encoder
    config = Qwen3Config(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.num_layers,
        num_attention_heads=sizes.num_heads,
        num_key_value_heads=sizes.num_kv_heads,
        head_dim=sizes.head_dim,
        max_position_embeddings=40960,
        rope_theta=sizes.rope_theta,
    )
    return Qwen3Model(config)


def last_layer(weights: SharedWeights) -> str:
    """Where the names of the text encoder's last layer start."""
    return f"layers.{weights.sizes.text_encoder.num_layers - 1}."


def transformer_arguments(weights: SharedWeights) -> dict[str, Any]:
    """What both rivals build a transformer of the shared size from."""
    sizes = weights.sizes.transformer
    return {
        "dim": sizes.dim,
        "n_layers": sizes.num_layers,
        "n_refiner_layers": sizes.num_refiner_layers,
        "n_heads": sizes.num_heads,
        "n_kv_heads": sizes.num_heads,
        "cap_feat_dim": sizes.caption_width,
        "axes_dims": list(sizes.axes_dims),
        "axes_lens": list(sizes.axes_lens),
    }


def _networks(weights: SharedWeights) -> tuple[Any, Any, Any]:
    from diffusers import AutoencoderKL, ZImageTransformer2DModel

    vae = weights.sizes.autoencoder
    levels = len(vae.block_out_channels)
    transformer = ZImageTransformer2DModel(**transformer_arguments(weights))
    autoencoder = AutoencoderKL(
        block_out_channels=vae.block_out_channels,
        layers_per_block=vae.layers_per_block,
        latent_channels=vae.latent_channels,
        norm_num_groups=vae.norm_num_groups,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        scaling_factor=vae.scaling_factor,
        shift_factor=vae.shift_factor,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    return transformer, qwen3(weights), autoencoder


def _eager(weights: SharedWeights) -> Draw:
    return drawer(pipeline_of(weights))


def _compiled(weights: SharedWeights) -> Draw:
    import torch._dynamo

    torch._dynamo.reset()
    torch._dynamo.config.recompile_limit = RECOMPILES
    torch._dynamo.config.accumulated_recompile_limit = 16 * RECOMPILES
    pipeline = pipeline_of(weights)
    draw = drawer(pipeline)
    # The table of positions is made on the first call, which a full graph could not hold.
    draw(["a"], Workload("first", 64, 64, 1, 0.0))
    pipeline.transformer.compile_repeated_blocks(fullgraph=True, dynamic=False)
    return draw


EAGER = Rival(
    name="diffusers",
    packages=("diffusers", "transformers"),
    setting="eager",
    build=_eager,
    batches=(4, 8),
)
COMPILED = Rival(
    name="diffusers-compiled",
    packages=("diffusers", "transformers"),
    setting="compile_repeated_blocks(fullgraph=True, dynamic=False), recompile limit raised",
    build=_compiled,
    batches=(4, 8),
)
