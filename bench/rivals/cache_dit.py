"""cache-dit on diffusers: steps left out as its own example for Z-Image-Turbo leaves them out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from PIL.Image import Image

from bench.rivals.diffusers import drawer, pipeline_of
from bench.rivals.rival import Draw, Rival
from bench.rivals.weights import SharedWeights
from mezzotint.measure.workload import Workload

WARMUP_STEPS = 4  # its example: "only warmup 4 steps for distilled models"
MASK_POLICY = "fast"
THRESHOLD = 0.6
FEWEST_STEPS = 8  # below, it has no mask; warming up needs none


def _build(weights: SharedWeights) -> Draw:
    return partial(_draw, pipeline_of(weights), {"steps": 0})


def _draw(
    pipeline: Any, enabled: dict[str, int], prompts: Sequence[str], workload: Workload
) -> list[Image]:
    steps = workload.steps if workload.steps >= FEWEST_STEPS else 0
    if enabled["steps"] != steps:
        _enable(pipeline, steps, again=enabled["steps"] > 0)
        enabled["steps"] = steps
    return drawer(pipeline)(prompts, workload)


def _enable(pipeline: Any, steps: int, again: bool) -> None:
    import cache_dit

    if again:
        cache_dit.disable_cache(pipeline)
    if steps == 0:
        return
    mask = cache_dit.steps_mask(mask_policy=MASK_POLICY, total_steps=steps)
    config = cache_dit.DBCacheConfig(
        Fn_compute_blocks=1,
        Bn_compute_blocks=0,
        max_warmup_steps=WARMUP_STEPS,
        residual_diff_threshold=THRESHOLD,
        num_inference_steps=steps,
        steps_computation_mask=mask,
        # What random weights make of the residual says nothing: the mask alone decides.
        steps_computation_policy="static",
    )
    cache_dit.enable_cache(pipeline, cache_config=config)


CACHE_DIT = Rival(
    name="cache-dit",
    packages=("cache-dit", "diffusers"),
    setting=f"approximate: DBCache F1B0, {WARMUP_STEPS} steps of warm-up, mask {MASK_POLICY}",
    build=_build,
    approximate=True,
)
