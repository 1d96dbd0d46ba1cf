"""diffusers' ZImagePipeline as its users run it: eager, bf16, from prompt to PIL image."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.workload import Workload

TOKENIZER = Path(__file__).parents[2] / "mezzotint" / "bundled" / "tokenizer"


def build() -> Any:
    """Z-Image-Turbo's real size with random weights, on the GPU."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )
    from transformers import AutoTokenizer, Qwen3Config, Qwen3Model

    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            transformer = ZImageTransformer2DModel(
                dim=3840,
                n_layers=30,
                n_refiner_layers=2,
                n_heads=30,
                n_kv_heads=30,
                cap_feat_dim=2560,
                axes_dims=[32, 48, 48],
                axes_lens=[1536, 512, 512],
            )
            text_encoder = Qwen3Model(
                Qwen3Config(
                    vocab_size=151936,
                    hidden_size=2560,
                    intermediate_size=9728,
                    num_hidden_layers=36,
                    num_attention_heads=32,
                    num_key_value_heads=8,
                    head_dim=128,
                )
            )
            vae = AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                latent_channels=16,
                norm_num_groups=32,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
            )
    finally:
        torch.set_default_dtype(torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    tokenizer.backend_tokenizer.no_truncation()
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0)
    parts = [module.eval() for module in (vae, text_encoder, transformer)]
    pipeline = ZImagePipeline(scheduler, parts[0], parts[1], tokenizer, parts[2])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def maker(pipeline: Any, workload: Workload, to_pil_ms: list[float]) -> Callable[[str], object]:
    """From a prompt to PNG bytes as Pillow writes them by default; notes the time to the image."""

    def make(prompt: str) -> object:
        start = time.perf_counter()
        image = pipeline(
            prompt,
            width=workload.width,
            height=workload.height,
            num_inference_steps=workload.steps,
            guidance_scale=workload.guidance,
            generator=torch.Generator().manual_seed(0),
        ).images[0]
        to_pil_ms.append((time.perf_counter() - start) * 1e3)
        file = io.BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    return make
