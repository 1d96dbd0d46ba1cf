"""A kept picture as the native API shows it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from mezzotint.jobs.images import StoredImage
from mezzotint.types import Format, Request

MAX_IDS = 1000
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ImageRequest(BaseModel):
    """What makes the picture again; null is the preset's or the model's own choice."""

    prompt: str = Field(description="What was asked for.")
    negative_prompt: str = Field(description="What was to be avoided; empty: nothing.")
    width: int = Field(description="px.")
    height: int = Field(description="px.")
    steps: int | None = Field(description="Denoise steps.")
    guidance: float | None = Field(description="diffusers' meaning, CFG - 1; 0 is off.")
    seed: int = Field(description="This picture's own, not its job's first.")
    preset: str | None = Field(description="The preset's name.")
    format: Format = Field(description="The file's format.")


class StageTimings(BaseModel):
    """How long each stage took, ms."""

    queue_ms: float = Field(description="Waiting, ms.")
    encode_ms: float = Field(description="Prompt to features, ms.")
    denoise_ms: float = Field(description="All steps, ms.")
    decode_ms: float = Field(description="Latent to pixels, ms.")
    file_ms: float = Field(description="Pixels to file, ms.")
    total_ms: float = Field(description="All of them, ms.")


class ImageInfo(BaseModel):
    """A kept picture."""

    id: str = Field(description="Opaque.")
    job_id: str = Field(description="The job that made it.")
    index: int = Field(description="Its place in the job, from 0.")
    seed: int = Field(description="What the noise was drawn from.")
    width: int = Field(description="px.")
    height: int = Field(description="px.")
    format: Format = Field(description="The file's format.")
    bytes: int = Field(description="The file's size, bytes.")
    sha256: str = Field(description="Of the file, in hex; its ETag.")
    prompt: str = Field(description="What was asked for.")
    starred: bool = Field(description="Retention spares starred pictures.")
    created_at: float = Field(description="Unix seconds.")
    request: ImageRequest = Field(description="What makes it again.")
    timings: StageTimings | None = Field(description="null: made before they were kept.")
    file_url: str = Field(description="The file, below the server's root.")
    thumbnail_url: str = Field(description="A WebP of at most 256 px a side.")


class ImageList(BaseModel):
    """A page of pictures, newest first."""

    data: list[ImageInfo] = Field(description="The pictures.")
    next_cursor: str | None = Field(description="Give it as cursor to go on; null: the end.")


class StarRequest(BaseModel):
    """What may change of a kept picture."""

    model_config = ConfigDict(extra="forbid", strict=True)

    starred: bool = Field(description="Whether retention spares it.")


class Selection(BaseModel):
    """Pictures by id."""

    model_config = ConfigDict(extra="forbid", strict=True)

    ids: list[Id] = Field(min_length=1, max_length=MAX_IDS, description="1 to 1000 ids.")


class Deleted(BaseModel):
    """What a bulk deletion did."""

    deleted: int = Field(description="How many of the ids were pictures of the caller.")


def image_info(stored: StoredImage, request: Request, root_path: str) -> ImageInfo:
    """Show a picture; `request` is its job's, whose size and seed this picture fixes."""
    address = f"{root_path}/api/v1/images/{stored.id}"
    return ImageInfo(
        id=stored.id,
        job_id=stored.job_id,
        index=stored.index,
        seed=stored.seed,
        width=stored.width,
        height=stored.height,
        format=stored.format,
        bytes=stored.bytes,
        sha256=stored.sha256,
        prompt=stored.prompt,
        starred=stored.starred,
        created_at=stored.created_us / 1e6,
        request=_request(stored, request),
        timings=_timings(stored),
        file_url=f"{address}/file",
        thumbnail_url=f"{address}/thumbnail",
    )


def _timings(stored: StoredImage) -> StageTimings | None:
    if stored.timings is None:
        return None
    stages = ("queue", "encode", "denoise", "decode", "file")
    return StageTimings(
        **{f"{stage}_ms": stored.timings.get(stage, 0.0) for stage in stages},
        total_ms=round(sum(stored.timings.values()), 3),
    )


def _request(stored: StoredImage, request: Request) -> ImageRequest:
    return ImageRequest(
        prompt=stored.prompt,
        negative_prompt=request.negative_prompt,
        width=stored.width,
        height=stored.height,
        steps=request.steps if stored.steps is None else stored.steps,
        guidance=request.guidance,
        seed=stored.seed,
        preset=request.preset,
        format=stored.format,
    )
