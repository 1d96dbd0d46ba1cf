"""The timer that all share: from prompts to PNG bytes, noting the time to the pictures too."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from PIL.Image import Image

from bench import gpu
from bench.workload import REST_S, Workload, prompt
from mezzotint import Engine, Request

PNG_THREADS = 4  # a server would write files beside the next call too
WARMUPS = 3


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
    peak_bytes: int | None
    utilisation: float | None

    def row(self) -> dict[str, Any]:
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
        utilisation=statistics.fmean(samples) if samples else None,
    )


def new_prompts() -> Iterator[str]:
    """Prompts that no cache has seen."""
    return (prompt(number) for number in count())


def request_of(text: str, workload: Workload, seed: int = 0) -> Request:
    """What the engine is asked for."""
    return Request(
        prompt=text,
        width=workload.width,
        height=workload.height,
        steps=workload.steps,
        guidance=workload.guidance,
        seed=seed,
    )


def by_engine(engine: Engine) -> Make:
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


def by_rival(draw: Callable[[Sequence[str], Workload], list[Image]], batch: int) -> Make:
    """Calls a rival for `batch` pictures at a time; files are written beside the next call."""

    def make(prompts: Sequence[str], workload: Workload) -> Made:
        start = time.monotonic()
        with ThreadPoolExecutor(PNG_THREADS) as pool:
            files = []
            for first in range(0, len(prompts), batch):
                images = draw(prompts[first : first + batch], workload)
                picture_s = time.monotonic() - start
                files += [pool.submit(_png, image) for image in images]
            for file in files:
                file.result()
        return Made(picture_s, time.monotonic() - start)

    return make


def _png(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
