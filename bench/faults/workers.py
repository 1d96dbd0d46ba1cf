"""Workers that break, of five kinds: no picture is lost, the other worker never notices."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.environment import ROOT
from bench.faults.outages import Outages, until_ready

sys.path.insert(0, str(ROOT / "tests"))

from fake_engine import SPEC, config, picture

from mezzotint.types import Request
from mezzotint.workers.pace import Policy
from mezzotint.workers.pool import Pool
from mezzotint.workers.spawn import Launch

# What fake_engine calls them: death, out of memory, illegal access, hang, corrupt frame.
KINDS = ("die", "oom", "device", "hang", "garbage")
_TIMES = 20
_COMPANY = 4  # pictures under way beside the one that breaks its worker
_SILENCE_S = 1.0
_WAIT_S = 120.0
_POLICY = Policy(silence_s=_SILENCE_S, first_picture_s=30.0, backoff_s=0.02, max_backoff_s=0.1)


def run(folder: Path, short: bool) -> dict[str, Any]:
    """Break a worker again and again. The row: what was lost, how long until both work again."""
    times = 1 if short else _TIMES
    faults = [kind for kind in KINDS for _ in range(times)]
    random.Random(8).shuffle(faults)  # noqa: S311 - the same order every time
    text = config(step_s=0.005, folder=str(folder))
    program = (str(ROOT / "tests" / "fake_engine.py"),)
    lost, wrong = 0, 0
    with Pool(SPEC, [Launch(config=text, program=program)] * 2, _POLICY) as pool:
        loaded_s = until_ready(pool)
        outages = Outages(pool)
        for number, kind in enumerate(faults):
            _make(pool, [f"warm {number}"] * 2)  # a hang is told by a worker's own pace
            before = [worker.restarts for worker in pool.workers()]
            prompts = [f"{kind} once {kind}-{number}", *[f"company {number}"] * _COMPANY]
            pictures = _make(pool, prompts)
            lost += sum(good is None for good in pictures)
            wrong += sum(good is False for good in pictures)
            until_ready(pool)
            broken = [w.restarts - b for w, b in zip(pool.workers(), before, strict=True)]
            wrong += sorted(broken) != ([0, 0] if kind == "oom" else [0, 1])
        stats = pool.stats()
        worst_s = outages.longest_s()
    return {
        "faults": len(faults),
        "pictures_lost": lost,
        "wrong": wrong,
        "load_s": loaded_s,
        "ready_again_after_s": worst_s,
        "failed": stats.outcomes.get("failed", 0),
        "limits": "none lost, the other worker untouched, ready again within load time + 5 s",
        "met": lost == wrong == 0 and worst_s <= loaded_s + 5.0,
    }


def _make(pool: Pool, prompts: list[str]) -> list[bool | None]:
    """Make pictures at once. -> for each whether it is the right one; None: it was lost."""
    tickets = [
        pool.submit(Request(prompt=prompt, seed=seed, steps=8))
        for seed, prompt in enumerate(prompts)
    ]
    results: list[bool | None] = []
    for ticket in tickets:
        try:
            image = ticket.result(_WAIT_S)
        except Exception:  # whatever it is, the picture was not made
            results.append(None)
        else:
            results.append(bool(np.array_equal(image.pixels, picture(ticket.recipe))))
    return results
