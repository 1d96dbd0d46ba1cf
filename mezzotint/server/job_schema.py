"""A job as the native API takes and shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.open_job import LiveJob
from mezzotint.jobs.order import Order
from mezzotint.jobs.store import Job, JobState
from mezzotint.server.image_schema import ImageInfo, image_info
from mezzotint.server.knobs import Live
from mezzotint.server.open_steps import with_open_steps
from mezzotint.server.schema import CALL, Prompt, StepBounds, Steps, fixed_steps, steps_range
from mezzotint.server.settings import MAX_PICTURES, MAX_PRIORITY, MAX_PROMPT_CHARACTERS
from mezzotint.types import MAX_SEED, Format, MetadataLevel, Request

ShownState = Literal["queued", "running", "done", "failed", "cancelled"]
MAX_DEADLINE_S = 7 * 24 * 3600

_PREVIEWS = 8  # looks at each picture; each is a few kilobytes of an event
_Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
_Side = Annotated[int, Field(ge=16, le=8192)]


class JobCall(BaseModel):
    """What to make. A field that is not listed is an error, never ignored."""

    model_config = CALL

    prompt: Prompt
    negative_prompt: _Text = Field(
        "", description="What to keep out; needs guidance above 0. Same limits as prompt."
    )
    width: _Side | None = Field(
        None, description="px, a multiple of the model's; default: the preset's or the model's."
    )
    height: _Side | None = Field(None, description="px, as width; give both or neither.")
    steps: Steps | None = Field(
        None,
        description="Denoise steps, or {min, max}: each picture gets as many as the server's load "
        "allows when it begins. Default: the preset's or the model's.",
    )
    guidance: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        None,
        description="diffusers' meaning for Z-Image, pos + g (pos - neg): 0 is off, and it is the "
        "usual CFG weight minus one. Default: the preset's or the model's.",
    )
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] = Field(
        -1, description="The first picture's seed; -1: drawn at random, and recorded."
    )
    n: Annotated[int, Field(ge=1, le=MAX_PICTURES)] = Field(
        1, description="Pictures; they take consecutive seeds."
    )
    preset: Annotated[str, Field(max_length=200)] | None = Field(
        None,
        description="A preset by name, the caller's own before the model's: what it decides where "
        "this call does not.",
    )
    format: Format = Field("png", description="The files' format.")
    metadata: MetadataLevel | None = Field(
        None,
        description="What the files say of themselves: minimal, the AI-content marks alone; full, "
        "also all that makes them again, prompts included; none. Default: the server's setting.",
    )
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = Field(
        0, description="Higher ones go first; above 0 only with an admin's key."
    )
    deadline_s: Annotated[float, Field(gt=0, le=MAX_DEADLINE_S, allow_inf_nan=False)] | None = (
        Field(None, description="Seconds from now after which the job fails; default: none.")
    )


class JobRequest(BaseModel):
    """What a job makes, every choice made."""

    prompt: str = Field(description="What was asked for.")
    negative_prompt: str = Field(description="What was to be avoided; empty: nothing.")
    width: int = Field(description="px.")
    height: int = Field(description="px.")
    steps: int = Field(description="Denoise steps; with a range the most, and each image says its.")
    steps_asked: StepBounds | None = Field(description="The range, where they were left open.")
    guidance: float = Field(description="diffusers' meaning, CFG - 1; 0 is off.")
    seed: int = Field(description="The first picture's; the others count up from it.")
    n: int = Field(description="Pictures.")
    preset: str | None = Field(description="The preset's name, if one was given.")
    format: Format = Field(description="The files' format.")
    metadata: MetadataLevel = Field(description="What the files say of themselves.")
    priority: int = Field(description="Higher ones go first.")


class JobProgress(BaseModel):
    """Where a running job stands."""

    index: int = Field(description="The picture that moved on last, from 0.")
    step: int = Field(description="Its steps that are done.")
    steps: int = Field(description="All its steps.")


class JobInfo(BaseModel):
    """A job."""

    id: str = Field(description="Opaque.")
    state: ShownState = Field(description="The last three are ends.")
    created_at: float = Field(description="Unix seconds.")
    started_at: float | None = Field(description="Unix seconds; null: not yet.")
    ended_at: float | None = Field(description="Unix seconds; null: not yet.")
    deadline_at: float | None = Field(description="Unix seconds; null: it has none.")
    request: JobRequest
    images: list[ImageInfo] = Field(description="Its pictures that are finished and kept.")
    error: str | None = Field(description="Why it failed.")
    position: int | None = Field(
        description="Its next picture's place in the line, from 1; null: none of them waits."
    )
    eta_s: float | None = Field(
        description="Seconds until its last picture, from the cost of all that goes before it; "
        "null: over, or nothing is known yet."
    )
    progress: JobProgress | None = Field(description="null: it does not run.")


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobInfo] = Field(description="The jobs.")
    next_cursor: str | None = Field(description="Give it as cursor to go on; null: the end.")


class JobsCancelled(BaseModel):
    """What a cancellation of all did."""

    cancelled: int = Field(description="Jobs of the caller that had not ended.")


class Snapshot(BaseModel):
    """How things stand, first in a stream and after a gap: data of a snapshot event."""

    jobs: list[JobInfo] = Field(
        description="Jobs that are not over; after a gap also those that ended since."
    )
    complete: bool = Field(description="false: there are more; list the jobs.")


def order_of(call: JobCall, live: Live, own_preset: str | None = None) -> Order:
    """The order that a call asks for; what it leaves open is the server's to choose.

    `own_preset` names the caller's own that the call is filled from; else it names the model's.
    """
    request = Request(
        prompt=call.prompt,
        negative_prompt=call.negative_prompt,
        width=call.width,
        height=call.height,
        steps=fixed_steps(call.steps),
        steps_range=steps_range(call.steps),
        guidance=call.guidance,
        seed=call.seed if "seed" in call.model_fields_set else None,
        preset=call.preset if own_preset is None else None,
        previews=_PREVIEWS,
        format=call.format,
        metadata=call.metadata or live.metadata,
    )
    return Order(with_open_steps(request, live.open_steps), call.n, own_preset)


def stored_states(shown: ShownState | None) -> tuple[JobState, ...]:
    """The stored states that are shown as one; none for None."""
    if shown is None:
        return ()
    return ("failed", "interrupted") if shown == "failed" else (shown,)


def job_info(job: Job, kept: list[StoredImage], live: LiveJob | None, root_path: str) -> JobInfo:
    """Show a job with its pictures; `live` is what is known of it while it is not over."""
    progress = None
    if live is not None and live.progress is not None and live.index is not None:
        step, steps = live.progress.step, live.progress.steps
        progress = JobProgress(index=live.index, step=step, steps=steps)
    return JobInfo(
        id=job.id,
        state="failed" if job.state == "interrupted" else job.state,
        created_at=job.created_us / 1e6,
        started_at=_seconds(job.started_us),
        ended_at=_seconds(job.finished_us),
        deadline_at=_seconds(job.deadline_us),
        request=_request(job),
        images=[image_info(image, job.order.request, root_path) for image in kept],
        error=job.error,
        position=live.position if live else None,
        eta_s=live.eta_s if live else None,
        progress=progress if job.state == "running" else None,
    )


def _request(job: Job) -> JobRequest:
    request = job.order.request
    fields: dict[str, Any] = {
        name: getattr(request, name)
        for name in JobRequest.model_fields
        if name not in ("n", "priority", "steps_asked")
    }
    if request.steps_range is not None:
        fields["steps"] = request.steps_range.max
        fields["steps_asked"] = StepBounds.model_validate(request.steps_range)
    return JobRequest(**{"steps_asked": None} | fields, n=job.order.n, priority=job.priority)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
