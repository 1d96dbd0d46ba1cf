"""From a worker's frame and its block of shared memory to a picture; nothing is believed."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from mezzotint.engine.stats import after_wait
from mezzotint.types import Image, Progress
from mezzotint.workers.block import read_block
from mezzotint.workers.frames import MAX_FILE_BYTES, Finished, FrameError, Progressed
from mezzotint.workers.worker import Job, Worker


def read_progress(worker: Worker, job: Job, frame: Progressed) -> Progress:
    """What a frame says of a request, with its preview if one came."""
    if frame.preview is None:
        return Progress(frame.stage, frame.step, frame.steps)
    height, width = frame.preview
    if not (0 < height <= job.recipe.height and 0 < width <= job.recipe.width):
        raise FrameError(f"a preview of {width}x{height} is larger than its picture")
    preview = np.empty((height, width, 3), np.uint8)
    _read_block(worker, (preview.data,))
    return Progress(frame.stage, frame.step, frame.steps, preview)


def read_image(worker: Worker, job: Job, frame: Finished) -> Image:
    """The picture a frame announces; its spans begin when the request came to the pool."""
    recipe, provenance = job.recipe, worker.provenance
    if provenance is None:
        raise FrameError("it finished a picture before it was ready")
    if (frame.width, frame.height) != (recipe.width, recipe.height):
        raise FrameError(f"a picture came in {frame.width}x{frame.height}, which nobody asked for")
    if not 0 < frame.data_bytes <= MAX_FILE_BYTES:
        raise FrameError(f"a file of {frame.data_bytes} bytes; the limit is {MAX_FILE_BYTES}")
    pixels = np.empty((recipe.height, recipe.width, 3), np.uint8)
    data = bytearray(frame.data_bytes)
    _read_block(worker, (pixels.data, memoryview(data)))
    spans = after_wait((job.placed - job.submitted) * 1e3, frame.spans)
    return Image(pixels, bytes(data), job.format, recipe, provenance, spans, job.submitted)


def _read_block(worker: Worker, buffers: Sequence[memoryview]) -> None:
    if worker.channel is None:
        raise FrameError("it sent a picture without a connection")
    block = worker.channel.take_descriptor()
    try:
        read_block(block, buffers)
    finally:
        os.close(block)
