"""A worker's program with the real engine, that breaks for real at a denoise step when told to.

`python bench/faults/breaking_worker.py --fd N`, started by a pool. Whoever wants a fault writes its
name to the file `wanted` in $FAULT_FOLDER; the worker that takes it renames the file to `taken`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import torch

from mezzotint.engine.engine import Engine
from mezzotint.engine.runner import Runner
from mezzotint.models.spec import OnLoad
from mezzotint.workers.process import main, make_engine

FOLDER = "FAULT_FOLDER"
_CHUNK_BYTES = 256 * 2**20
_HANG_CYCLES = 60_000_000_000  # half a minute: ten times as long as a worker may be silent


def death() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def memory() -> NoReturn:
    """Take memory until there is no more: what the device's allocator raises is what it raises."""
    if not torch.cuda.is_available():
        raise RuntimeError(f"there is memory without end: {np.empty(2**60, np.uint8).nbytes}")
    held = []
    while True:
        held.append(torch.empty(_CHUNK_BYTES, dtype=torch.uint8, device="cuda"))


def illegal() -> None:
    from bench.faults.wild_store import write_where_nothing_is

    write_where_nothing_is()


def hang() -> None:
    """A kernel that spins; without a GPU the whole process stands still.

    It has an end, in case that the driver cannot end its process before.
    """
    if torch.cuda.is_available():
        torch.cuda._sleep(_HANG_CYCLES)
    else:
        os.kill(os.getpid(), signal.SIGSTOP)


def frame() -> None:
    """A frame of the right length with noise in it."""
    noise = np.random.default_rng(8).bytes(64)
    os.write(int(sys.argv[sys.argv.index("--fd") + 1]), len(noise).to_bytes(4, "big") + noise)


FAULTS: dict[str, Callable[[], object]] = {
    "death": death,
    "memory": memory,
    "illegal": illegal,
    "hang": hang,
    "frame": frame,
}


def make_breaking(config: str, on_load: OnLoad) -> Runner:
    """The engine for a Config in JSON; each denoise step looks whether a fault is wanted."""
    engine = cast("Engine", make_engine(config, on_load))
    executor = engine._loop._executor
    denoise, folder = executor._model.denoise, Path(os.environ[FOLDER])

    def breaking(*arguments: Any) -> None:
        denoise(*arguments)
        with suppress(FileNotFoundError):
            name = (folder / "wanted").rename(folder / "taken").read_text()
            FAULTS[name]()

    executor._model = replace(executor._model, denoise=breaking)
    return engine


if __name__ == "__main__":
    main(make_breaking)
