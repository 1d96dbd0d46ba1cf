"""DiffSynth Studio's ZImagePipeline with torch's attention; one picture a call is all it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from PIL.Image import Image

from bench.rivals.diffusers import TOKENIZER, last_layer, qwen3, transformer_arguments
from bench.rivals.rival import Draw, Rival
from bench.rivals.weights import SharedWeights, fill
from mezzotint.measure.workload import Workload


def _build(weights: SharedWeights) -> Draw:
    # Read when it is imported; without it, it takes whichever flash attention is installed.
    os.environ["DIFFSYNTH_ATTENTION_IMPLEMENTATION"] = "torch"
    _stand_in("modelscope", "snapshot_download")
    _stand_in("ftfy")
    from diffsynth.pipelines.z_image import ZImagePipeline
    from transformers import AutoTokenizer

    pipeline = ZImagePipeline(device=str(weights.device), torch_dtype=weights.dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(weights.dtype)
    try:
        pipeline.dit, pipeline.text_encoder, pipeline.vae_decoder = _networks(weights)
    finally:
        torch.set_default_dtype(before)
    pipeline.tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    pipeline.tokenizer.backend_tokenizer.no_truncation()
    pipeline.generate_noise = partial(_noise, weights.device, weights.dtype)
    return partial(_draw, pipeline)


def _networks(weights: SharedWeights) -> tuple[Any, Any, Any]:
    from diffsynth.models.flux_vae import FluxVAEDecoder
    from diffsynth.models.z_image_dit import ZImageDiT
    from diffsynth.models.z_image_text_encoder import ZImageTextEncoder
    from diffsynth.utils.state_dict_converters import flux_vae

    with weights.device:
        transformer = ZImageDiT(**transformer_arguments(weights))
        language_model = qwen3(weights)
        decoder = FluxVAEDecoder(use_conv_attention=False)
    with torch.device("meta"):  # it only knows three sizes; what it holds is replaced
        text_encoder = ZImageTextEncoder("4B")
    fill(language_model, weights.text_encoder, (last_layer(weights), "norm."))
    text_encoder.model = language_model
    fill(transformer, weights.transformer, ())
    fill(decoder, flux_vae.FluxVAEDecoderStateDictConverterDiffusers(weights.decoder), ())
    return transformer, text_encoder.eval(), decoder


def _noise(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, ...], seed: int, **_: object
) -> torch.Tensor:
    """As everyone else draws it: in float32. It draws bfloat16, whose stream is another one."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


def _draw(pipeline: Any, prompts: Sequence[str], workload: Workload) -> list[Image]:
    return [
        pipeline(
            prompt=prompt,
            cfg_scale=workload.guidance + 1.0,  # its weight counts from 1, diffusers' from 0
            width=workload.width,
            height=workload.height,
            num_inference_steps=workload.steps,
            seed=seed,
            progress_bar_cmd=_quietly,
        )
        for seed, prompt in enumerate(prompts)
    ]


def _quietly(steps: Any) -> Any:
    return steps


def _stand_in(name: str, *functions: str) -> None:
    """A package that it imports to fetch files or mend text, and that is never called here."""
    if name in sys.modules or find_spec(name) is not None:
        return
    module = ModuleType(name)
    for function in functions:
        setattr(module, function, partial(_refuse, name, function))
    sys.modules[name] = module


def _refuse(name: str, function: str, *_: object, **__: object) -> None:
    raise RuntimeError(f"{name}.{function} was called: nothing is fetched while measuring")


DIFFSYNTH = Rival(
    name="diffsynth",
    packages=("diffsynth", "transformers"),
    setting="torch attention",
    build=_build,
)
