"""Pictures drawn for nobody: kernels are compiled, libraries settle, graphs are recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mezzotint.engine.executor import Executor
from mezzotint.engine.out_of_memory import explain, ran_out_of_memory
from mezzotint.engine.pack import Pack
from mezzotint.engine.scheduler import Limits, Scheduler, Work

# As long as most prompts are.
PROMPT = (
    "a lighthouse on a cliff at dusk, waves below it, warm light in one window, a flock of gulls, "
    "distant hills in blue haze, soft brush strokes, fine grain, calm, wide view, muted colours"
)
STEPS = 2  # the first is run, the second recorded


def warm_up(executor: Executor, works: Iterable[Work]) -> None:
    """Draw each picture and let it go. From the engine's thread, while nothing else is in flight.

    ResourceError when memory runs out.
    """
    for work in works:
        for each in (work, _another(work)):
            _draw(executor, each)


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
        raise explain(pack, error) from error
