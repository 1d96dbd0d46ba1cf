"""Hugging Face's inference API: what InferenceClient(model=URL).text_to_image sends and expects."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request as HttpRequest

from mezzotint.server.answer import MEDIA
from mezzotint.server.errors import invalid
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.openai import ImagesService, format_of, generate_file
from mezzotint.server.schema import ERRORS, GenerationRequest
from mezzotint.server.settings import MAX_PROMPT_CHARACTERS
from mezzotint.types import MAX_SEED

_Side = Annotated[int, Field(ge=16, le=65_536)]


class Parameters(BaseModel):
    """diffusers' names; null means the model's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)] | None = Field(
        None, description="What to keep out; needs guidance above 0."
    )
    width: _Side | None = Field(None, description="px, within the model's limits, with height.")
    height: _Side | None = Field(None, description="px, within the model's limits, with width.")
    num_inference_steps: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Denoise steps."
    )
    guidance_scale: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None, description="diffusers' meaning for Z-Image: 0 is off; the CFG weight minus one."
    )
    scheduler: Literal["FlowMatchEulerDiscreteScheduler"] | None = Field(
        None, description="Only the model's own."
    )
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = Field(
        None, description="-1 or null: drawn at random; the X-Seed header says it."
    )
    preset: Annotated[str, Field(max_length=200)] | None = Field(
        None, description="A preset by name, the caller's own before the model's."
    )


class TextToImage(BaseModel):
    """A text-to-image task."""

    model_config = ConfigDict(extra="forbid", strict=True)

    inputs: str = Field(min_length=1, max_length=MAX_PROMPT_CHARACTERS, description="What to draw.")
    parameters: Parameters = Field(default_factory=lambda: Parameters.model_validate({}))


def hugging_face_router(service: ImagesService) -> APIRouter:
    """POST /models/NAME."""
    router = APIRouter(tags=["other clients"])
    content: dict[str, Any] = {media: {"schema": {"type": "string"}} for media in MEDIA.values()}

    @router.post(
        "/models/{name:path}",
        summary="Make a picture for Hugging Face's clients",
        description="The answer is the file: what the Accept header asks for, or a PNG. It is "
        "cancelled when the client disconnects.",
        response_class=Response,
        dependencies=[JSON_ONLY],
        responses={200: {"content": content}, **ERRORS},
    )
    async def text_to_image(
        name: Annotated[str, Path(max_length=200, description="A name that /v1/models lists.")],
        task: TextToImage,
        http: HttpRequest,
    ) -> Response:
        return await generate_file(service, _call(name, task), http, format_of(http))

    return router


def _call(name: str, task: TextToImage) -> GenerationRequest:
    wanted = task.parameters
    if (wanted.width is None) != (wanted.height is None):
        raise invalid("give both width and height, or neither", "parameters")
    size = "auto" if wanted.width is None else f"{wanted.width}x{wanted.height}"
    values = {
        "prompt": task.inputs,
        "model": name,
        "size": size,
        "negative_prompt": wanted.negative_prompt,
        "steps": wanted.num_inference_steps,
        "guidance_scale": wanted.guidance_scale,
        "seed": wanted.seed,
        "preset": wanted.preset,
    }
    return GenerationRequest.model_validate(values)
