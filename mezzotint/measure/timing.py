"""The timer that all share: from prompts to PNG bytes, noting the time to the pictures too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mezzotint.engine.runner import Runner
from mezzotint.measure import gpu
from mezzotint.measure.workload import Workload, request_of

REST_S = 0.5  # between pictures: straight after another one, clocks are lower
WARMUPS = 3  # a shape's first call is eager, its second captures graphs, its third replays them


@dataclass(frozen=True)
class Made:
    """Seconds from the prompts to the last picture and to the last file's bytes."""

    picture_s: float
    file_s: float


Make = Callable[[Sequence[str], Workload], Made]


@dataclass(frozen=True)
class Timing:
    """Medians over a workload's repeats, each with a rest before it."""

    ms: float  # to the last PNG's bytes
    to_picture_ms: float
    images_per_s: float  # as PNG bytes
    pictures_per_s: float  # as pictures
    repeats: int
    rest_s: float
    peak_bytes: int | None  # of torch's allocator on the GPU; None on a CPU
    reserved_bytes: int | None  # likewise, with what it keeps and graphs' pools
    utilisation: float | None  # share of the time in which some kernel ran

    def row(self) -> dict[str, Any]:
        """As a row of results has it."""
        return asdict(self)


def measure(make: Make, workload: Workload, prompts: Iterator[str]) -> Timing:
    """Warm up, then make the workload's pictures, each time of new prompts."""

    def some() -> list[str]:
        return [next(prompts) for _ in range(workload.at_once)]

    for _ in range(WARMUPS):
        make(some(), workload.warm)
    gpu.reset_peak()
    made: list[Made] = []
    samples: list[float] = []
    for _ in range(workload.repeats):
        time.sleep(REST_S)
        with gpu.watch() as utilisation:
            made.append(make(some(), workload))
        samples += utilisation.samples
    file_s = statistics.median(m.file_s for m in made)
    picture_s = statistics.median(m.picture_s for m in made)
    return Timing(
        ms=file_s * 1e3,
        to_picture_ms=picture_s * 1e3,
        images_per_s=workload.at_once / file_s,
        pictures_per_s=workload.at_once / picture_s,
        repeats=workload.repeats,
        rest_s=REST_S,
        peak_bytes=gpu.peak_bytes(),
        reserved_bytes=gpu.reserved_bytes(),
        utilisation=statistics.fmean(samples) if samples else None,
    )


def by_engine(engine: Runner) -> Make:
    """Asks for all pictures together and waits for the last file."""

    def make(prompts: Sequence[str], workload: Workload) -> Made:
        start = time.monotonic()
        requests = [request_of(text, workload, seed) for seed, text in enumerate(prompts)]
        images = [ticket.result() for ticket in engine.submit_all(requests)]
        file_s = time.monotonic() - start
        ends = [
            image.submitted_s + (span.start_ms + span.length_ms) / 1e3
            for image in images
            for span in image.spans
            if span.stage != "file"
        ]
        return Made(max(ends) - start, file_s)

    return make
