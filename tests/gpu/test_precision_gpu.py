"""What FP8 costs: a forward at the real size errs no more than the same quantisation unfused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mezzotint import kernels
from mezzotint.models.materialize import Chooses, materialize, nothing
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.layout import Shape, layout
from mezzotint.models.zimage.modulation import Modulations
from mezzotint.models.zimage.precision import transformer_fp8
from mezzotint.models.zimage.transformer import Transformer

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9),
    reason="needs an NVIDIA GPU with FP8",
)

SHAPE = Shape(64, 64, (64,))  # 1024 x 1024 and a short prompt
MARGIN = 1.1


def test_a_fused_forward_errs_as_an_unfused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config, device = TransformerConfig(), torch.device("cuda")
    truth = velocity(build(config, device, torch.float32, nothing), SHAPE)
    fp8 = build(config, device, torch.bfloat16, transformer_fp8)
    fused = distance(velocity(fp8, SHAPE), truth)
    monkeypatch.setattr(kernels, "_on_gpu", lambda _: False)  # plain torch for all but products
    unfused = distance(velocity(fp8, SHAPE), truth)
    print(f"error against float32: {fused:.4f} fused, {unfused:.4f} unfused")
    assert fused <= MARGIN * unfused


def build(
    config: TransformerConfig, device: torch.device, dtype: torch.dtype, fp8: Chooses
) -> Transformer:
    """The same values in any precision: drawn in float32 and rounded to bfloat16 first."""
    with torch.device("meta"):
        model = Transformer(config)
    generator = torch.Generator(device).manual_seed(0)

    def draw(name: str, shape: torch.Size) -> Tensor:
        if len(shape) == 1:
            is_norm = "norm" in name and not name.endswith("bias")
            return torch.full(shape, float(is_norm), dtype=dtype, device=device)
        value = torch.randn(shape, generator=generator, device=device) * 0.02
        return value.bfloat16().to(dtype)

    materialize(model, draw, fp8)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def velocity(model: Transformer, shape: Shape) -> Tensor:
    """One forward on inputs that are the same for every model. -> [tokens, patch_width] float32."""
    config, device = model.config, model.x_pad_token.device
    generator = torch.Generator(device).manual_seed(1)
    x = torch.randn(shape.image_tokens, config.patch_width, generator=generator, device=device)
    c = torch.randn(sum(shape.captions), config.dim, generator=generator, device=device)
    rows = model.modulation_rows(torch.tensor([0.3], device=device))
    modulations = Modulations.of(rows, config.num_refiner_layers)
    captions = c.bfloat16().to(model.dtype)
    pack = layout((shape,), config, device)
    y: Tensor = model(x.bfloat16().float(), captions, pack, modulations)
    return y.float()


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())
