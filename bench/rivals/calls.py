"""The shared timer on a rival: so many pictures a call, files written beside the next call."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL.Image import Image

from bench.rivals.rival import Draw
from mezzotint.measure.timing import Made, Make
from mezzotint.measure.workload import Workload

PNG_THREADS = 4  # a server would write files beside the next call too


def by_rival(draw: Draw, batch: int) -> Make:
    """Calls a rival for `batch` pictures at a time and waits for the last file."""

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
