"""Pictures cancelled at random moments: how soon the device is free for the next one."""

from __future__ import annotations

import random
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from mezzotint import Engine, Request
from mezzotint.engine.record import Mark
from mezzotint.types import Cancelled

_TIMES = 1000
_GRACE_MS = 20.0


def run(folder: Path, short: bool) -> dict[str, Any]:
    """Cancel pictures of the bundled model on an engine with one slot.

    The device is free when the next picture's encoding begins: it cannot before it has the slot.
    The step is the one that was under way.
    """
    times = 20 if short else _TIMES
    rng = random.Random(8)  # noqa: S311 - the same moments every time
    with Engine(slots=1, device="cpu") as engine:
        typical_s = _typical_step_s(engine)
        cancelled = [_cancel_one(engine, rng, typical_s) for _ in range(times)]
        left = engine.stats().running + engine.stats().waiting
    beyond_ms = [freed_ms - step_ms for freed_ms, step_ms in cancelled]
    within = sum(ms <= _GRACE_MS for ms in beyond_ms)
    return {
        "cancels": times,
        "step_p50_ms": statistics.median(step_ms for _, step_ms in cancelled),
        "freed_p50_ms": statistics.median(freed_ms for freed_ms, _ in cancelled),
        "freed_max_ms": max(freed_ms for freed_ms, _ in cancelled),
        "beyond_a_step_p99_ms": statistics.quantiles(beyond_ms, n=100, method="inclusive")[98],
        "beyond_a_step_max_ms": max(beyond_ms),
        "within": within,
        "left_behind": left,
        "limits": "a step + 20 ms",
        "met": within == times and left == 0,
    }


def _typical_step_s(engine: Engine) -> float:
    engine.generate("a red apple")
    runs = engine.observe(Mark()).runs
    return statistics.median(run.end_s - run.start_s for run in runs if run.stage == "denoise")


def _cancel_one(engine: Engine, rng: random.Random, step_s: float) -> tuple[float, float]:
    """Cancel a picture somewhere in its steps. -> ms until the next one began, ms of its step."""
    mark = engine.observe(Mark()).mark
    victim = engine.submit(Request(prompt="a blue car", steps=120, seed=0))
    denoising = threading.Event()
    victim.on_progress(lambda progress: denoising.set() if progress.stage == "denoise" else None)
    denoising.wait(60)
    time.sleep(rng.random() * 5 * step_s)
    cancelled_s = time.monotonic()
    victim.cancel()
    following = engine.submit(Request(prompt="a red apple", steps=1, seed=0))
    following.result(60)
    if not isinstance(victim.future.exception(60), Cancelled):
        raise RuntimeError("a picture was finished though it was cancelled")
    runs = engine.observe(mark).runs
    began_s = next(
        run.start_s
        for run in runs
        if run.stage == "encode" and any(m.request == following.id for m in run.members)
    )
    under_way = [run for run in runs if run.start_s <= cancelled_s <= run.end_s]
    step_ms = sum((run.end_s - run.start_s) * 1e3 for run in under_way)
    return (began_s - cancelled_s) * 1e3, step_ms
