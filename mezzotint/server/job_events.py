"""What the streams of jobs say: the data of every event, and their part of the OpenAPI document."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import pybase64
from PIL import Image as Pillow
from pydantic import BaseModel, Field

from mezzotint.jobs.event import JobEvent
from mezzotint.server.image_schema import ImageInfo, image_info
from mezzotint.server.job_schema import Snapshot
from mezzotint.server.schema import REFERENCE

_PREVIEW_QUALITY = 70


class StartedEvent(BaseModel):
    """Data of started, done and cancelled events."""

    job_id: str = Field(description="The job.")


class QueuedEvent(StartedEvent):
    """Data of a queued event: when a job is accepted, and when its place changes."""

    position: int | None = Field(
        description="Its next picture's place in the line, from 1; null: none waits."
    )
    eta_s: float | None = Field(description="Seconds until its last picture; null: not known yet.")


class Preview(BaseModel):
    """A look at an unfinished picture, an eighth of its size."""

    mime: Literal["image/webp"] = Field(description="What it is.")
    b64: str = Field(description="The file in base64.")


class ProgressEvent(StartedEvent):
    """Data of a progress event."""

    index: int = Field(description="The picture, from 0.")
    step: int = Field(description="Its steps that are done.")
    steps: int = Field(description="All its steps.")
    preview: Preview | None = Field(
        None, description="What the model takes the clean picture for; not after every step."
    )


class ImageEvent(StartedEvent):
    """Data of an image event: a picture is finished and kept."""

    index: int = Field(description="The picture, from 0.")
    image: ImageInfo


class FailedEvent(StartedEvent):
    """Data of a failed event."""

    error: str = Field(description="Why.")


class WarningEvent(BaseModel):
    """Data of a warning event: something is wrong with the server that no job failed of."""

    message: str = Field(description="What, and the remedy.")


EVENTS: dict[str, type[BaseModel]] = {
    "snapshot": Snapshot,
    "queued": QueuedEvent,
    "started": StartedEvent,
    "progress": ProgressEvent,
    "image": ImageEvent,
    "done": StartedEvent,
    "failed": FailedEvent,
    "cancelled": StartedEvent,
    "warning": WarningEvent,
}
JOB_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "One server-sent event; its name says which of the schemas its data has.",
    "properties": {
        "id": {
            "type": "string",
            "pattern": "^[0-9]{1,19}$",
            "description": "Rises; to be sent as Last-Event-ID.",
        },
        "event": {"type": "string", "enum": [*EVENTS]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "oneOf": [
                    {"$ref": REFERENCE.format(model=name)}
                    for name in dict.fromkeys(model.__name__ for model in EVENTS.values())
                ]
            },
        },
    },
    "required": ["event", "data"],
}


def data_of(event: JobEvent, root_path: str, *, look: bool) -> BaseModel | None:
    """What an event says, its preview only when somebody may `look`; None: it is not told."""
    if event.job is None:
        return WarningEvent(message=event.message or "")
    id, index = event.job.id, event.index or 0
    match event.kind:
        case "queued":
            return QueuedEvent(job_id=id, position=event.position, eta_s=event.eta_s)
        case "progress" if event.progress is not None:
            progress = event.progress
            if progress.stage != "denoise":
                return None
            preview = progress.preview if look else None
            return ProgressEvent(
                job_id=id,
                index=index,
                step=progress.step,
                steps=progress.steps,
                preview=None if preview is None else _preview(preview),
            )
        case "image" if event.image is not None:
            shown = image_info(event.image, event.job.order.request, root_path)
            return ImageEvent(job_id=id, index=index, image=shown)
        case "failed":
            return FailedEvent(job_id=id, error=event.message or "")
        case _:
            return StartedEvent(job_id=id)


def _preview(pixels: np.ndarray) -> Preview:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "WEBP", quality=_PREVIEW_QUALITY, method=0)
    return Preview(mime="image/webp", b64=pybase64.b64encode_as_string(file.getvalue()))
