"""From finished pictures to what a client reads: JSON, raw bytes, numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64
from fastapi import Response
from starlette.requests import Request as HttpRequest

from mezzotint.engine.stats import stage_totals
from mezzotint.images.preview import encode_preview
from mezzotint.server.feed import Look
from mezzotint.server.results import Results
from mezzotint.server.schema import GenerationRequest
from mezzotint.server.source import Served
from mezzotint.server.translate import image_tokens, reported_quality
from mezzotint.types import Format, Image, StepRange

MEDIA = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
_STAGES = {
    "queue_ms": "queue",
    "text_encode_ms": "encode",
    "denoise_ms": "denoise",
    "vae_ms": "decode",
    "encode_ms": "file",
}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What every form of an answer is made from."""

    call: GenerationRequest
    http: HttpRequest
    served: Served
    format: Format
    base_steps: int  # what a quality counts from
    results: Results
    started: float  # seconds, monotonic
    asked: StepRange | None  # by the call, or for it by the server's setting

    def document(self, images: Sequence[Image]) -> Response:
        """OpenAI's images response."""
        body = {
            "id": self.http.state.request_id,
            "created": int(time.time()),
            "data": [self._picture(image, self.call.response_format) for image in images],
            **self._facts(images),
        }
        return Response(orjson.dumps(body), media_type="application/json")

    def completed(self, image: Image) -> dict[str, Any]:
        """OpenAI's image_generation.completed event."""
        return {
            "type": "image_generation.completed",
            "created_at": int(time.time()),
            **self._picture(image, self.call.response_format),
            **self._facts([image]),
        }

    def partial(self, look: Look) -> dict[str, Any]:
        """OpenAI's image_generation.partial_image event; takes milliseconds, so use a thread."""
        recipe, runner = look.recipe, self.served.runner
        file = encode_preview(
            look.pixels, self.format, recipe, runner.provenance, self.served.producer
        )
        return {
            "type": "image_generation.partial_image",
            "partial_image_index": look.number,
            "created_at": int(time.time()),
            "b64_json": pybase64.b64encode_as_string(file),
            "seed": recipe.seed,
            "size": f"{recipe.width}x{recipe.height}",
            "quality": reported_quality(recipe, self.base_steps, runner.spec),
            "output_format": self.format,
            "background": "opaque",
        }

    def raw(self, image: Image) -> Response:
        """The file itself."""
        spans = [f"{stage};dur={ms:.1f}" for stage, ms in stage_totals(image.spans).items()]
        spans.append(f"total;dur={self._elapsed_ms():.1f}")
        headers = {"X-Seed": str(image.recipe.seed), "Server-Timing": ", ".join(spans)}
        return Response(image.data, headers=headers, media_type=MEDIA[image.format])

    def _picture(self, image: Image, form: str | None) -> dict[str, Any]:
        if form == "url":
            link = self.results.keep(image.data, image.format)
            url = self.http.url_for("read_content", id=link.id).include_query_params(
                expires=link.expires, signature=link.signature
            )
            return {"url": str(url), **self._chosen(image)}
        return {"b64_json": pybase64.b64encode_as_string(image.data), **self._chosen(image)}

    def _chosen(self, image: Image) -> dict[str, int]:
        """What the call left open of this picture."""
        given = {} if self.asked is None else {"steps_given": image.recipe.steps}
        return {"seed": image.recipe.seed} | given

    def _facts(self, images: Sequence[Image]) -> dict[str, Any]:
        recipe, spec = images[0].recipe, self.served.runner.spec
        facts: dict[str, Any] = {
            "size": f"{recipe.width}x{recipe.height}",
            "quality": reported_quality(recipe, self.base_steps, spec),
            "steps": recipe.steps,
            "output_format": images[0].format,
            "background": "opaque",
            "usage": self._usage(images),
        }
        if self.asked is not None:
            facts["steps_asked"] = {"min": self.asked.min, "max": self.asked.max}
        if self.call.safety_identifier is not None:
            facts["safety_identifier"] = self.call.safety_identifier
        if self.call.return_timings:
            facts["timings"] = self._timings(images)
        return facts

    def _usage(self, images: Sequence[Image]) -> dict[str, Any]:
        recipe = images[0].recipe
        text = self.served.count_tokens(recipe.prompt)
        if recipe.guided:
            text += self.served.count_tokens(recipe.negative_prompt)
        text *= len(images)
        out = sum(image_tokens(image.recipe, self.served.runner.spec) for image in images)
        return {
            "input_tokens": text,
            "input_tokens_details": {"text_tokens": text, "image_tokens": 0},
            "output_tokens": out,
            "total_tokens": text + out,
        }

    def _timings(self, images: Sequence[Image]) -> dict[str, Any]:
        totals = [stage_totals(image.spans) for image in images]
        means = {
            name: round(sum(total.get(stage, 0.0) for total in totals) / len(totals), 3)
            for name, stage in _STAGES.items()
        }
        clock = self.served.runner.stats().clock
        rest = {"steps": images[0].recipe.steps, "total_ms": self._elapsed_ms(), "clock": clock}
        return means | rest

    def _elapsed_ms(self) -> float:
        return round((time.monotonic() - self.started) * 1e3, 3)
