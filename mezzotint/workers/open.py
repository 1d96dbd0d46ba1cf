"""Open a pool for a configuration: one worker for each GPU, or one for the CPU."""

from __future__ import annotations

import os

from mezzotint.config import Config
from mezzotint.engine.capacity import AHEAD, Capacity
from mezzotint.engine.cost import budget
from mezzotint.models.find import describe, describe_random_weights
from mezzotint.models.locate import locate
from mezzotint.models.spec import ModelSpec
from mezzotint.workers.gpus import count_gpus
from mezzotint.workers.pace import Policy
from mezzotint.workers.pool import Pool
from mezzotint.workers.spawn import Launch

_STAGES = 3


def open_pool(config: Config, policy: Policy | None = None) -> Pool:
    """Start workers for every device the configuration allows; returns while they load.

    ModelError when there is no such model: that is seen in its headers, before any process starts.
    """
    return Pool(spec_for(config), launches(config), policy)


def num_gpus(config: Config) -> int:
    """The GPUs that the configuration allows; 0: one worker on the CPU."""
    return 0 if config.device == "cpu" else count_gpus()


def capacity(config: Config, gpus: int) -> Capacity:
    """What keeps so many GPUs' workers busy, or the CPU's one: for each stage a picture, and one.

    Where steps may share forwards, as many as a worker holds of such as fit into one by two.
    """
    pictures = min(config.slots, _STAGES) + 1
    pays = gpus > 0 and config.precision != "fp32"  # or may: which GPUs they are is not known here
    tflop = budget(pays, deterministic=config.deterministic, asked=config.pack_tflop)
    small = config.slots + AHEAD if tflop else 0
    return Capacity(pictures, small, tflop / 2).times(max(gpus, 1))


def spec_for(config: Config) -> ModelSpec:
    """What the configured model takes, without reading its tensors."""
    if config.random_weights is not None:
        return describe_random_weights(config.random_weights)
    return describe(locate(config.model), config.variant)


def launches(config: Config) -> tuple[Launch, ...]:
    """How each worker is started: a GPU sees itself alone, so that every worker has device 0."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = [name.strip() for name in named.split(",")] if named else []
    environments = [
        {"CUDA_VISIBLE_DEVICES": visible[index] if index < len(visible) else str(index)}
        for index in range(num_gpus(config))
    ]
    return tuple(
        Launch(
            config=config.model_dump_json(),
            environment=environment,
            depth=config.slots + AHEAD,
        )
        for environment in environments or [{}]
    )
