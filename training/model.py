"""The model's three parts and their sizes; the classes are transformers' and diffusers' own."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import nn
from transformers import Qwen3Config, Qwen3Model

HEAD_DIM = 128
ROPE_AXES = (32, 48, 48)


@dataclass(frozen=True)
class Sizes:
    """How large each part is. The defaults are the model that ships: 39.8 MB in bf16."""

    vocabulary: int = 3072
    text_dim: int = 256
    text_layers: int = 3
    heads: int = 3
    layers: int = 4
    vae_channels: tuple[int, ...] = (32, 64, 128, 128)
    latent_channels: int = 16


SMOKE = Sizes(vocabulary=512, text_dim=64, text_layers=2, heads=1, layers=1,
              vae_channels=(16, 16, 32, 32))  # fmt: skip


def build_text_encoder(sizes: Sizes) -> Qwen3Model:
    """A small Qwen3; Z-Image reads the output of its last layer but one."""
    head_dim = min(64, sizes.text_dim // 2)
    config = Qwen3Config(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.text_dim,
        intermediate_size=2 * sizes.text_dim,
        num_hidden_layers=sizes.text_layers,
        num_attention_heads=sizes.text_dim // head_dim,
        num_key_value_heads=sizes.text_dim // head_dim // 2,
        head_dim=head_dim,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return Qwen3Model(config)


def build_vae(sizes: Sizes) -> AutoencoderKL:
    """An 8x autoencoder with 16 latent channels and attention in the middle, as Z-Image's."""
    count = len(sizes.vae_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        block_out_channels=sizes.vae_channels,
        layers_per_block=1,
        latent_channels=sizes.latent_channels,
        norm_num_groups=16,
        sample_size=128,
        scaling_factor=1.0,
        shift_factor=0.0,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
    )


def build_transformer(sizes: Sizes) -> ZImageTransformer2DModel:
    """The diffusion transformer, initialised to start as a gentle identity."""
    model = ZImageTransformer2DModel(
        in_channels=sizes.latent_channels,
        dim=sizes.heads * HEAD_DIM,
        n_layers=sizes.layers,
        n_refiner_layers=1,
        n_heads=sizes.heads,
        n_kv_heads=sizes.heads,
        cap_feat_dim=sizes.text_dim,
        axes_dims=list(ROPE_AXES),
        axes_lens=[1536, 512, 512],
    )
    _initialise(model)
    return model


def count_parameters(*modules: nn.Module) -> int:
    """Parameters of all modules together."""
    return sum(p.numel() for m in modules for p in m.parameters())


def _initialise(model: ZImageTransformer2DModel) -> None:
    """Xavier for the matrices, gates a little open, a zero final layer."""
    for name, parameter in model.named_parameters():
        if "adaLN_modulation" in name:
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
            else:
                nn.init.zeros_(parameter)
        elif parameter.ndim > 1 and "pad_token" not in name and "t_embedder" not in name:
            nn.init.xavier_uniform_(parameter)
    for block in (*model.layers, *model.noise_refiner):
        # Chunks 1 and 3 are the tanh gates: closed gates would starve the blocks of gradient.
        gates = block.adaLN_modulation[0].bias.data.view(4, -1)
        gates[1], gates[3] = 0.3, 0.3
    final = model.all_final_layer["2-1"].linear
    nn.init.zeros_(final.weight)
    nn.init.zeros_(final.bias)
    with torch.no_grad():
        model.cap_pad_token.normal_(std=0.02)
        model.x_pad_token.normal_(std=0.02)
