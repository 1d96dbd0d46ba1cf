"""Pictures drawn for nobody: kernels are compiled, libraries settle, graphs are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import torch

from mezzotint.engine.executor import Executor
from mezzotint.engine.out_of_memory import explain, ran_out_of_memory
from mezzotint.engine.pack import Pack
from mezzotint.engine.plan import MemoryPlan
from mezzotint.engine.scheduler import Limits, Scheduler, Work
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import ModelSpec
from mezzotint.size import Size
from mezzotint.types import ConfigError, Recipe, Request, RequestError

# As long as most prompts are.
PROMPT = (
    "a lighthouse on a cliff at dusk, waves below it, warm light in one window, a flock of gulls, "
    "distant hills in blue haze, soft brush strokes, fine grain, calm, wide view, muted colours"
)
STEPS = 2  # the first is run, the second recorded
REMEDY = "warm up a smaller size or none, or start it with more --memory or fewer slots"


def to_draw(
    sizes: Literal["own"] | Sequence[Size],
    spec: ModelSpec,
    memory: MemoryPlan,
    device: torch.device,
) -> list[Recipe]:
    """One picture of each size; "own" is the model's on a GPU, if there is memory for it.

    ConfigError when another is outside the model's limits, or memory's.
    """
    try:
        if sizes != "own":
            return _recipes(sizes, spec, memory)
    except RequestError as error:
        raise ConfigError(f"warm_up: {error}") from error
    if device.type == "cuda":  # on a CPU a real model's own size takes minutes
        with suppress(RequestError):
            return _recipes(spec.sizes[:1], spec, memory)
    return []


def warm_up(executor: Executor, works: Iterable[Work]) -> None:
    """Draw each picture and let it go. From the engine's thread, while nothing else is in flight.

    ResourceError when memory runs out.
    """
    for work in works:
        for each in (work, _another(work)):
            _draw(executor, each)


def _recipes(sizes: Sequence[Size], spec: ModelSpec, memory: MemoryPlan) -> list[Recipe]:
    requests = (
        Request(prompt=PROMPT, width=width, height=height, steps=STEPS) for width, height in sizes
    )
    recipes = [resolve(request, spec) for request in requests]
    for recipe in recipes:
        memory.check(recipe.width, recipe.height, recipe.guided)
    return recipes


def _another(work: Work) -> Work:
    """One of the same shapes, whose prompt no cache holds."""
    return replace(work, prompt_ids=work.prompt_ids[::-1])


def _draw(executor: Executor, work: Work) -> None:
    scheduler = Scheduler(Limits(slots=1))
    scheduler.submit(work)
    while packs := scheduler.tick():
        for pack in packs:
            _run(executor, pack)
            scheduler.complete(pack)
    executor.forget(work.id)


def _run(executor: Executor, pack: Pack) -> None:
    try:
        executor.launch(pack).wait()
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        failure = explain(pack, error, REMEDY)
    else:
        return
    raise failure  # only here are the frames gone that held what the pack had allocated
