"""Small real models for tests: random weights in diffusers' layout, made once a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

BUNDLED = Path(__file__).parent.parent / "mezzotint" / "bundled"


@pytest.fixture(scope="session")
def bundled() -> Path:
    """The model that ships with the package."""
    return BUNDLED


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Z-Image of real head size (128) with random weights, saved by diffusers in float32."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )
    from transformers import AutoTokenizer, Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    transformer = ZImageTransformer2DModel(
        dim=256,
        n_layers=2,
        n_refiner_layers=2,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=64,
        axes_dims=[32, 48, 48],
        axes_lens=[1536, 512, 512],
    )
    for name, parameter in transformer.named_parameters():
        with torch.no_grad():
            parameter.normal_(std=0.05)
            if "norm" in name:
                parameter.add_(1.0)
    text_encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=3072,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=1024,
            rope_theta=1e6,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=16,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    folder = tmp_path_factory.mktemp("random-z-image")
    ZImagePipeline(
        FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=3.0),
        vae,
        text_encoder,
        AutoTokenizer.from_pretrained(BUNDLED / "tokenizer"),
        transformer,
    ).save_pretrained(folder)
    _forget_truncation(folder / "tokenizer" / "tokenizer.json")
    return folder


def _forget_truncation(file: Path) -> None:
    # diffusers pads every prompt to 512 itself; a truncation stored in the file would cut it.
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
