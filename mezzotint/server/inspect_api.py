"""POST /api/v1/inspect: the settings in a picture file, of ours or of another program's."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from mezzotint.images.inspect import Inspected, Program, inspect
from mezzotint.models.recipe import resolve
from mezzotint.server.answer import MEDIA
from mezzotint.server.errors import invalid
from mezzotint.server.schema import ERRORS
from mezzotint.server.source import RunnerSource
from mezzotint.types import Request as PictureRequest
from mezzotint.types import RequestError

MAX_RAW = 65_536  # characters of each text that is shown

_BODY = {
    "required": True,
    "content": {
        media: {"schema": {"type": "string", "format": "binary"}} for media in MEDIA.values()
    },
}


class FoundRequest(BaseModel):
    """What asks for the picture again; null where the file does not say."""

    prompt: str = Field(description="What was asked for.")
    negative_prompt: str = Field(
        description="What was to be avoided; empty where guidance was off, for it had no effect."
    )
    width: int | None = Field(description="px.")
    height: int | None = Field(description="px.")
    steps: int | None = Field(description="Denoise steps.")
    guidance: float | None = Field(
        description="diffusers' meaning, 0 is off: another program's CFG weight minus one."
    )
    seed: int | None = Field(description="What the noise was drawn from; other noise elsewhere.")


class InspectedPicture(BaseModel):
    """What a picture file says of how it was made."""

    program: Program = Field(description="Whose settings they are.")
    model: str | None = Field(description="As the file names it.")
    width: int = Field(description="The file's own, px.")
    height: int = Field(description="The file's own, px.")
    request: FoundRequest
    problem: str | None = Field(
        description="Why this server would refuse the request as it stands; null: it would not, or "
        "its model still loads."
    )
    raw: dict[str, str] = Field(
        description=f"The file's texts by keyword, each up to {MAX_RAW} characters."
    )


def inspect_router(source: RunnerSource) -> APIRouter:
    """One route; the picture is the body as it is."""
    router = APIRouter(prefix="/api/v1", tags=["inspect"], responses={"default": ERRORS["default"]})

    @router.post(
        "/inspect",
        summary="Read a picture's settings",
        description="PNG, JPEG or WebP of at most 20 MiB and 16.8 megapixels, by Mezzotint, A1111 "
        "and its relatives, ComfyUI, InvokeAI or SwarmUI. No pixels are decoded and nothing is "
        "kept.",
        openapi_extra={"requestBody": _BODY},
    )
    async def inspect_picture(http: Request) -> InspectedPicture:
        data = await http.body()
        try:
            found = await run_in_threadpool(inspect, data)
        except RequestError as error:
            raise invalid(str(error), None, error.code) from error
        return _shown(found, source)

    return router


def _shown(found: Inspected, source: RunnerSource) -> InspectedPicture:
    settings = found.settings
    off = settings.guidance == 0
    request = FoundRequest(
        prompt=settings.prompt,
        negative_prompt="" if off else settings.negative_prompt,
        width=settings.width,
        height=settings.height,
        steps=settings.steps,
        guidance=settings.guidance,
        seed=settings.seed,
    )
    return InspectedPicture(
        program=found.program,
        model=settings.model,
        width=found.width,
        height=found.height,
        request=request,
        problem=_problem(request, source),
        raw={keyword: text[:MAX_RAW] for keyword, text in found.texts.items()},
    )


def _problem(found: FoundRequest, source: RunnerSource) -> str | None:
    served = source.peek()
    if served is None:
        return None
    values: dict[str, Any] = found.model_dump()
    try:
        recipe = resolve(PictureRequest(**values), served.runner.spec)
        served.runner.largest.check(recipe)
    except RequestError as error:
        return str(error)
    return None
