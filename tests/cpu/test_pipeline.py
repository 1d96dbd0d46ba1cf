"""The whole picture against diffusers' pipeline: same prompt, same seed, same pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mezzotint.engine.slots import allocate
from mezzotint.models.load import load
from mezzotint.models.spec import Build, DecodeRow, EncodeRow, LoadedModel, SlotBuffers, StepRow
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.patches import unpatchify

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    prompt: str
    width: int
    height: int
    steps: int
    guidance: float = 0.0
    negative: str = ""
    rescale: float = 0.0
    truncation: float = 1.0
    seed: int = 11


CASES = [
    Case("a red apple on green grass", 128, 128, 8),
    Case("a blue car", 128, 128, 6, guidance=1.5),
    Case("三颗黄色的星星", 160, 112, 5, guidance=3.0, negative="a red apple"),  # padded image
    Case("a cat " * 40, 128, 128, 5, guidance=4.0, rescale=0.9),
    Case("a dog", 96, 144, 6, guidance=2.0, truncation=0.45),
]


@dataclass(frozen=True)
class Picture:
    latent: torch.Tensor  # [16, h, w]
    pixels: np.ndarray  # [height, width, 3]


@torch.inference_mode()
def ours(model: LoadedModel, case: Case) -> Picture:
    """The latent and the pixels, in float32."""
    slots = allocate(model.spec.slot_shapes, 1, CPU, torch.float32)
    latent = our_latent(model, case, slots)
    model.decode(DecodeRow(slot=0, width=case.width, height=case.height), slots)
    pixels = slots.pixels[0, : case.width * case.height].view(case.height, case.width, 3)
    return Picture(latent, pixels.numpy().copy())


@torch.inference_mode()
def our_latent(model: LoadedModel, case: Case, slots: SlotBuffers) -> torch.Tensor:
    guided = case.guidance > 0
    prompt, negative = model.tokenize(case.prompt), model.tokenize(case.negative)
    model.encode(
        [
            EncodeRow(
                slot=0,
                prompt_ids=prompt,
                negative_ids=negative if guided else None,
                width=case.width,
                height=case.height,
                seed=case.seed,
            )
        ],
        slots,
    )
    sigmas = model.spec.sigmas(case.steps)
    for sigma, next_sigma in pairwise(sigmas):
        row = StepRow(
            slot=0,
            width=case.width,
            height=case.height,
            prompt_tokens=len(prompt),
            negative_tokens=len(negative) if guided and 1 - sigma <= case.truncation else None,
            sigma=sigma,
            next_sigma=next_sigma,
            guidance=case.guidance,
            rescale=case.rescale,
        )
        model.denoise([row], slots)
    rows, columns = case.height // 16, case.width // 16
    tokens = slots.latents[0, : rows * columns]
    return unpatchify(tokens, rows, columns, TransformerConfig()).clone()


def diffusers_pipeline(folder: Path, dtype: torch.dtype) -> Callable[[Case], Picture]:
    """Runs a case; in bf16 the pixels stay black, since only latents are compared there and
    diffusers' decoder takes 20 seconds a picture in bf16 on a CPU."""
    from diffusers import ZImagePipeline

    pipeline = ZImagePipeline.from_pretrained(folder, dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    # A stored truncation of 32 tokens would cut what the pipeline pads to 512 itself.
    pipeline.tokenizer.backend_tokenizer.no_truncation()

    def run(case: Case) -> Picture:
        latents: list[torch.Tensor] = []
        image = pipeline(
            case.prompt,
            negative_prompt=case.negative,
            width=case.width,
            height=case.height,
            num_inference_steps=case.steps,
            guidance_scale=case.guidance,
            cfg_normalization=case.rescale,
            cfg_truncation=case.truncation,
            generator=torch.Generator().manual_seed(case.seed),
            callback_on_step_end=lambda p, i, t, kw: latents.append(kw["latents"].clone()) or {},
            output_type="pil" if dtype == torch.float32 else "latent",
        ).images[0]
        pixels = np.zeros((case.height, case.width, 3)) if dtype != torch.float32 else image
        return Picture(latents[-1][0], np.asarray(pixels))

    return run


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


@pytest.mark.parametrize("name", ["random_model", "bundled"])
def test_float32_equals_diffusers(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    model = load(folder, None, Build(device=CPU, dtype=torch.float32, caption_cache_mib=64))
    theirs = diffusers_pipeline(folder, torch.float32)
    for case in CASES:
        a, b = ours(model, case), theirs(case)
        assert psnr(a.pixels, b.pixels) >= 60.0, case
        assert distance(a.latent, b.latent) <= 1e-4, case  # errors of every step add up


def test_bf16_errs_at_most_half_more_than_diffusers(bundled: Path) -> None:
    """Medians over several pictures: one trajectory of large steps is a lottery in bf16."""
    exact = load(bundled, None, Build(device=CPU, dtype=torch.float32, caption_cache_mib=64))
    fast = load(bundled, None, Build(device=CPU, dtype=torch.bfloat16, caption_cache_mib=64))
    theirs = diffusers_pipeline(bundled, torch.bfloat16)
    cases = [
        Case(p, 128, 128, 4, seed=s) for s, p in enumerate(("a red apple", "a dog", "two cars"))
    ]
    ours_error, their_error = [], []
    for case in [*cases, Case("a cat", 160, 112, 4, guidance=1.5)]:
        truth = our_latent(exact, case, allocate(exact.spec.slot_shapes, 1, CPU, torch.float32))
        slots = allocate(fast.spec.slot_shapes, 1, CPU, torch.bfloat16)
        ours_error.append(distance(our_latent(fast, case, slots), truth))
        their_error.append(distance(theirs(case).latent, truth))
    assert np.median(ours_error) <= 1.5 * np.median(their_error)
