"""Partial images as the real `openai` package sees them, over loopback."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import numpy as np
import openai
import pytest
from fake_runner import SPEC, FakeRunner
from PIL import Image as Pillow
from serving import serving
from starlette.requests import Request as HttpRequest

from mezzotint.engine.ticket import HeldTicket
from mezzotint.models.recipe import resolve
from mezzotint.server.feed import Feed, Look
from mezzotint.types import Progress, Request, ResourceError

PROMPT = "a red apple"
RECIPE = resolve(Request(prompt=PROMPT, seed=1), SPEC)


@pytest.mark.parametrize(
    ("asked", "steps", "format", "seen"),
    [(0, 4, "png", 0), (1, 4, "webp", 1), (3, 4, "jpeg", 3), (3, 3, "png", 2), (3, 1, "png", 0)],
)
def test_looks_at_an_unfinished_picture(asked: int, steps: int, format: str, seen: int) -> None:
    with serving(FakeRunner(step_s=0.02)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        events = list(
            client.images.generate(
                prompt=PROMPT,
                stream=True,
                partial_images=asked,
                size="64x128",
                output_format=format,  # type: ignore[arg-type]
                extra_body={"seed": 5, "steps": steps},
            )
        )
    *looks, last = events
    assert last.type == "image_generation.completed"
    assert len(looks) == seen
    finished = picture_of(last)
    for number, look in enumerate(looks):
        assert look.type == "image_generation.partial_image"
        assert look.partial_image_index == number
        assert (look.size, look.output_format, look.background) == ("64x128", format, "opaque")
        assert look.quality == last.quality
        assert (look.model_extra or {})["seed"] == 5
        assert b"trainedAlgorithmicMedia" in base64.b64decode(look.b64_json)
        assert b"apple" not in base64.b64decode(look.b64_json)
        # The fake's look is every eighth pixel of its smooth picture: enlarged, it is near it.
        difference = np.abs(picture_of(look).astype(int) - finished.astype(int))
        assert 0 < difference.max() < 64
        assert difference.mean() < 16


def picture_of(event: Any) -> np.ndarray:
    """The pixels in an event, in the format that it names."""
    with Pillow.open(io.BytesIO(base64.b64decode(event.b64_json))) as picture:
        assert picture.format == event.output_format.upper()
        return np.asarray(picture.convert("RGB"))


def test_looks_come_while_their_picture_is_made_and_tell_it_by_its_seed() -> None:
    runner = FakeRunner(step_s=0.1)
    with serving(runner) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        stream = client.images.generate(
            prompt=PROMPT,
            n=2,
            stream=True,
            partial_images=2,
            response_format="url",
            size="64x64",
            extra_body={"seed": 5, "steps": 10},
        )
        first = next(iter(stream))
        assert first.type == "image_generation.partial_image"
        assert stream.response.headers["x-accel-buffering"] == "no"
        assert runner.stats().running == 2  # held back, it would come with the pictures
        seen = [first, *stream]
    for seed in (5, 6):
        own = [event for event in seen if (event.model_extra or {})["seed"] == seed]
        assert [getattr(event, "partial_image_index", None) for event in own] == [0, 1, None]
        assert (own[-1].model_extra or {})["url"]


def test_a_picture_made_again_shows_no_look_twice() -> None:
    def progress(step: int, *, look: bool = True) -> Progress:
        return Progress("denoise", step, 9, np.zeros((8, 8, 3), np.uint8) if look else None)

    async def read() -> None:
        ticket = HeldTicket(0, RECIPE, lambda _: None)
        feed = Feed()
        feed.watch([ticket])
        for step in (1, 2, 4, 1, 4, 7):  # its worker broke after step 4
            ticket.report(progress(step, look=step != 2))
        ticket.fail(ResourceError("the end"))

        async def receive() -> dict[str, str]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async for item in feed.read(HttpRequest({"type": "http"}, receive)):  # type: ignore[arg-type]
            assert isinstance(item, Look)
            found.append(item.number)

    found: list[int] = []
    with pytest.raises(ResourceError):
        asyncio.run(read())
    assert found == [0, 1, 2]
