"""Faults made for real in two workers that share a GPU: `python -m bench.faults.gpu --out FILE`.

The bundled model draws. A worker is killed, takes memory until there is no more, writes where
nothing is, runs a kernel of half a minute, or sends noise in place of a frame, at a random step of
a picture. No picture may be lost or differ by a byte, the other worker's process goes on, and both
work again within the time to load + 5 s. On a machine without a GPU the same is done on the CPU,
less what needs one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.environment import environment, python_path
from bench.faults.breaking_worker import FAULTS, FOLDER
from bench.faults.outages import Outages, until_ready
from bench.rows import append
from mezzotint.config import Config, make
from mezzotint.types import Request
from mezzotint.workers.open import launches, spec_for
from mezzotint.workers.pace import Policy
from mezzotint.workers.pool import Pool
from mezzotint.workers.spawn import Launch

_NEED_GPU = ("illegal",)
_PROGRAM = ("-P", str(Path(__file__).parent / "breaking_worker.py"))
_MEMORY = "8GiB"  # of each worker, on a GPU
_WAVE = 6  # pictures asked for at once
_STEPS = 8
_WAIT_S = 120.0
_SILENCE_S = 3.0 if torch.cuda.is_available() else 6.0  # a machine's only cores may be busy
_POLICY = Policy(silence_s=_SILENCE_S, first_picture_s=60.0, backoff_s=0.02, max_backoff_s=0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One wave of pictures."""

    lost: int
    wrong: int
    took_s: float


class Studio:
    """Two workers on one device, and the pictures that they have to make."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.pool = pool
        self.wanted, self._taken = folder / "wanted", folder / "taken"
        self._right: list[np.ndarray] = []

    def learn(self) -> None:
        """Draw the wave without any fault: these are the pictures that all later ones must be."""
        self._right = [ticket.result(_WAIT_S).pixels for ticket in self._ask()]

    def draw(self, fault: str | None = None, after_s: float = 0.0) -> Drawn:
        """Draw the wave, and want a fault some time after it was asked for."""
        start = time.monotonic()
        tickets = self._ask()
        if fault is not None:
            time.sleep(after_s)
            part = self.wanted.with_suffix(".part")
            part.write_text(fault)
            part.rename(self.wanted)
        lost = wrong = 0
        for ticket, right in zip(tickets, self._right, strict=True):
            try:
                wrong += not np.array_equal(ticket.result(_WAIT_S).pixels, right)
            except Exception as error:  # whatever it is, the picture was not made
                print(f"{fault}: {type(error).__name__}: {error}", file=sys.stderr)
                lost += 1
        return Drawn(lost, wrong, time.monotonic() - start)

    def took(self, fault: str) -> bool:
        """Whether a worker has taken this fault since the last one that was."""
        if self.wanted.exists():
            return False
        if self._taken.read_text() != fault:
            raise RuntimeError(f"no worker took {fault}")
        self._taken.unlink()
        return True

    def restarts(self) -> list[int]:
        return [worker.restarts for worker in self.pool.workers()]

    def _ask(self) -> list[Any]:
        return self.pool.submit_all(
            [Request(prompt="a red apple", steps=_STEPS, seed=seed) for seed in range(_WAVE)]
        )


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit leaves a row too
    kinds = [kind for kind in FAULTS if kind not in _NEED_GPU or torch.cuda.is_available()]
    for kind in sorted(set(FAULTS) - set(kinds)):
        print(f"{kind} is left out: it needs an NVIDIA GPU, and none is visible", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        row = run(Path(folder), kinds, options.times, options.limit_s)
    row = environment("bench.faults.gpu") | {"name": "gpu"} | row
    print(json.dumps(row, indent=1))
    append(options.out, row)
    return int(not row["met"])


def run(folder: Path, kinds: Sequence[str], times: int, limit_s: float) -> dict[str, Any]:
    """Break workers in rounds of all kinds, none begun after the limit. The row: what it did."""
    config, end = make(**_config()), time.monotonic() + limit_s
    seen: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    row: dict[str, Any] = {"left_out": sorted(set(FAULTS) - {*kinds})}
    with Pool(spec_for(config), [_launch(config, folder)] * 2, _POLICY) as pool:
        load_s = until_ready(pool)
        row["device"] = pool.provenance.device
        studio = Studio(pool, folder)
        studio.learn()
        calm_s = statistics.median(studio.draw().took_s for _ in range(3))
        try:
            _rounds(studio, seen, times, end, 0.5 * calm_s)
        except (Exception, KeyboardInterrupt) as error:  # the row holds what was seen
            row["error"] = f"{type(error).__name__}: {error}"
    row |= _figures(seen, load_s, calm_s)
    return row | {"met": row["met"] and "error" not in row}


def _rounds(
    studio: Studio, seen: dict[str, list[dict[str, float]]], times: int, end: float, latest_s: float
) -> None:
    rng = random.Random(8)  # noqa: S311 - the same moments every time
    for number in range(times):
        if number and time.monotonic() > end:
            return
        for kind in rng.sample(list(seen), len(seen)):
            seen[kind].append(_break(studio, kind, rng.uniform(0.0, latest_s)))


def _config() -> dict[str, Any]:
    """Company changes no byte, so that pictures can be compared."""
    if torch.cuda.is_available():
        return {"device": "cuda", "memory": _MEMORY, "deterministic": True, "warm_up": "own"}
    threads = max((os.cpu_count() or 2) // 2, 1)
    return {"device": "cpu", "deterministic": True, "threads": threads}


def _launch(config: Config, folder: Path) -> Launch:
    """The first device, which both workers are given."""
    launch = launches(config)[0]
    more = {FOLDER: str(folder), "PYTHONPATH": python_path()}
    return replace(launch, program=_PROGRAM, environment={**launch.environment, **more})


def _break(studio: Studio, kind: str, after_s: float) -> dict[str, float]:
    """One fault, from a calm wave to the next."""
    warm = studio.draw()  # a hang is told by a worker's own pace
    before, outages = studio.restarts(), Outages(studio.pool)
    drawn = [studio.draw(kind, after_s)]
    while not studio.took(kind):  # all was drawn before it could be
        drawn.append(studio.draw())
    until_ready(studio.pool)
    away_s = outages.longest_s()
    broken = sorted(now - then for now, then in zip(studio.restarts(), before, strict=True))
    print(f"{kind}: {drawn}, away {away_s:.1f} s, restarts {broken}", file=sys.stderr)
    return {
        "lost": sum(each.lost for each in (warm, *drawn)),
        "wrong": sum(each.wrong for each in (warm, *drawn)),
        "others": broken != ([0, 0] if kind == "memory" else [0, 1]),
        "away_s": away_s,
        "took_s": max(each.took_s for each in drawn),
    }


def _figures(
    seen: dict[str, list[dict[str, float]]], load_s: float, calm_s: float
) -> dict[str, Any]:
    every = [each for kind in seen.values() for each in kind]
    lost, wrong, others = (sum(each[key] for each in every) for key in ("lost", "wrong", "others"))
    away_s = {kind: max((e["away_s"] for e in each), default=None) for kind, each in seen.items()}
    took_s = {kind: max((e["took_s"] for e in each), default=None) for kind, each in seen.items()}
    return {
        "faults": {kind: len(each) for kind, each in seen.items()},
        "pictures_lost": lost,
        "wrong": wrong,  # not byte for byte what the same request made without a fault
        "other_worker_touched": others,
        "load_s": load_s,
        "ready_again_after_s": away_s,
        "wave_s": calm_s,
        "wave_with_fault_s": took_s,
        "limits": "none lost or wrong, other worker untouched, ready within load time + 5 s",
        "met": all(seen.values())
        and lost == wrong == others == 0
        and max(each["away_s"] for each in every) <= load_s + 5.0,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.faults.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="append a JSON row to this file")
    parser.add_argument("--times", type=int, default=5, help="of each kind of fault, at most")
    parser.add_argument(
        "--limit-s", type=float, default=75.0, help="begin no round of faults after so many seconds"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
