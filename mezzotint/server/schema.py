"""What the API takes and gives; its OpenAPI document is made of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from mezzotint.server.settings import MAX_PICTURES, MAX_PRIORITY, MAX_PROMPT_CHARACTERS
from mezzotint.size import parse_size
from mezzotint.types import MAX_SEED, Format, StepRange

Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
ReportedQuality = Literal["low", "medium", "high", "xhigh", "max"]
_Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]
_Word = Annotated[str, Field(max_length=200)]
# Beyond every model's limit, which the model checks; so that no number is without bounds.
_Steps = Annotated[int, Field(ge=1, le=1000)]
_Guidance = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
_Cfg = Annotated[float, Field(ge=1, le=101, allow_inf_nan=False)]


def _check_size(text: str) -> str:
    if text != "auto":
        parse_size(text)
    return text


_Size = Annotated[
    str,
    Field(max_length=20, json_schema_extra={"pattern": r"^(auto|[0-9]{1,6}[xX×*][0-9]{1,6})$"}),
    AfterValidator(_check_size),
]
CALL = ConfigDict(  # of what asks for pictures
    extra="forbid",
    strict=True,
    frozen=True,
    json_schema_extra={"examples": [{"prompt": "a red apple on green grass", "seed": 7}]},
)
Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PROMPT_CHARACTERS,
        description="What to draw. The model's own limit, in tokens, is checked too; a prompt "
        "that is too long is an error and is never cut.",
    ),
]


class StepBounds(BaseModel):
    """Steps left to the server: the fewer, the more work waits."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, from_attributes=True)

    min: _Steps = Field(description="Never fewer, however busy the server is.")
    max: _Steps = Field(description="Never more, however idle it is; at least min.")


# Told apart by their form, so that an error speaks of the one that was meant.
Steps = Annotated[
    Annotated[_Steps, Tag("<number>")] | Annotated[StepBounds, Tag("<range>")],
    Discriminator(
        lambda v: "<range>" if isinstance(v, dict | StepBounds | StepRange) else "<number>"
    ),
]


def fixed_steps(steps: int | StepBounds | None) -> int | None:
    """The number that was asked for, if it was one."""
    return None if isinstance(steps, StepBounds) else steps


def steps_range(steps: int | StepBounds | None) -> StepRange | None:
    """The range that was asked for, if it was one."""
    return StepRange(steps.min, steps.max) if isinstance(steps, StepBounds) else None


class GenerationRequest(BaseModel):
    """OpenAI's fields first, then ours and those that clients of other servers use.

    null means the default. A field that is not listed is an error, never ignored.
    """

    model_config = CALL

    prompt: Prompt
    model: _Word | None = Field(
        None, description="A name that /v1/models lists; without one, the model that is served."
    )
    n: Annotated[int, Field(ge=1, le=MAX_PICTURES)] | None = Field(
        1, description="Pictures; they take consecutive seeds."
    )
    size: _Size | None = Field(
        "auto",
        description="WIDTHxHEIGHT in pixels, both multiples of 16, within the model's limits; "
        "auto: the preset's or the model's own.",
    )
    quality: Quality | None = Field(
        "auto",
        description="A multiple of the preset's or the model's steps: low 1/2, medium 3/4, high "
        "(and auto, standard, hd) 1, xhigh 3/2, max 2. Not together with steps.",
    )
    output_format: Format | None = Field(
        None, description="The file's format; default png, or what the Accept header asks for."
    )
    output_compression: Literal[100] | None = Field(
        100, description="Only 100: JPEG and WebP files are written with one fixed quality."
    )
    background: Literal["auto", "opaque"] | None = Field(
        "auto", description="Pictures are opaque; transparent is refused."
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        "b64_json",
        description="b64_json: the file in base64; url: a signed link that needs no key and is "
        "good for an hour, unless newer pictures take its room first.",
    )
    stream: bool | None = Field(
        False,
        description="Answer with server-sent events: one for each finished picture, and before it "
        "those of its partial_images.",
    )
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = Field(
        0,
        description="Looks at each unfinished picture, only with stream: what the model takes the "
        "clean picture for, an eighth of the size and enlarged. The first comes after step 1, the "
        "rest evenly; none after the last step, so there are at most steps - 1.",
    )
    user: _Word | None = Field(None, description="Accepted for OpenAI's clients; has no effect.")
    safety_identifier: _Word | None = Field(
        None, description="Accepted for OpenAI's clients and echoed; has no other effect."
    )
    moderation: Literal["auto", "low"] | None = Field(
        None, description="Accepted for OpenAI's clients; has no effect: nothing is moderated."
    )
    style: Literal["vivid", "natural"] | None = Field(
        None, description="Accepted for OpenAI's clients; has no effect."
    )
    negative_prompt: _Text | None = Field(
        None, description="What to keep out; needs guidance above 0. Same limits as prompt."
    )
    steps: Steps | None = Field(
        None,
        description="Denoise steps, one forward each (two with guidance), up to the model's own "
        "limit, or {min, max}: each picture gets as many as the server's load allows when it "
        "begins. Default: the preset's, the range of the server's setting, or the model's.",
    )
    num_inference_steps: _Steps | None = Field(
        None, description="Another name of steps, as in diffusers, vllm-omni and sglang."
    )
    guidance_scale: _Guidance | None = Field(
        None,
        description="diffusers' meaning for Z-Image, pos + g (pos - neg): 0 is off, and it is the "
        "usual CFG weight minus one. Default: the preset's or the model's.",
    )
    true_cfg_scale: _Cfg | None = Field(
        None,
        description="The usual CFG weight, neg + c (pos - neg): 1 is off. At most one of "
        "guidance_scale, true_cfg_scale and cfg_scale.",
    )
    cfg_scale: _Cfg | None = Field(None, description="Another name of true_cfg_scale.")
    flow_shift: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)] | None = Field(
        None, description="Only the model's own: its schedule is part of the model."
    )
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED)] | None = Field(
        None,
        description="The first picture's seed; -1 or none: drawn at random. It is reported. The "
        "same request with the same seed makes the same picture.",
    )
    preset: _Word | None = Field(
        None,
        description="A preset by name, the caller's own before the model's: what it decides where "
        "this call does not.",
    )
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] | None = Field(
        0, description="Higher ones go first; above 0 only with an admin's key."
    )
    return_timings: bool | None = Field(False, description="Also report what each stage took.")


class ImageData(BaseModel):
    """One picture."""

    b64_json: str | None = Field(None, description="The file in base64.")
    url: str | None = Field(None, description="A signed link to the file.")
    seed: int = Field(description="The seed that makes this picture again.")
    steps_given: int | None = Field(
        None, description="The steps that this picture got; only where they were left open."
    )


class TokenDetails(BaseModel):
    """Tokens by kind."""

    text_tokens: int = Field(description="Tokens of the prompts, template included.")
    image_tokens: int = Field(description="Always 0: no picture goes in.")


class Usage(BaseModel):
    """What was computed, in tokens of the model."""

    input_tokens: int = Field(description="Prompt tokens, and negative prompt's when guided.")
    input_tokens_details: TokenDetails
    output_tokens: int = Field(description="Latent tokens of the pictures; 256 pixels each.")
    total_tokens: int = Field(description="Both together.")


class Timings(BaseModel):
    """Milliseconds; by stage the mean over the request's pictures."""

    queue_ms: float = Field(description="Waited for a slot.")
    text_encode_ms: float = Field(description="Prompts to features.")
    denoise_ms: float = Field(description="All steps together.")
    steps: int = Field(description="Denoise steps.")
    vae_ms: float = Field(description="Latent to pixels.")
    encode_ms: float = Field(description="Pixels to file.")
    total_ms: float = Field(description="From the parsed request to the last picture, host clock.")
    clock: Literal["host", "device"] = Field(
        description="Whose clock timed text_encode, denoise and vae."
    )


class ImagesResponse(BaseModel):
    """Finished pictures."""

    id: str = Field(description="The request's id, as in the X-Request-Id header and the log.")
    created: int = Field(description="Unix seconds.")
    data: list[ImageData] = Field(description="The pictures, in the order of their seeds.")
    size: str = Field(description="WIDTHxHEIGHT in pixels.")
    quality: ReportedQuality = Field(description="What the steps come to.")
    steps: int = Field(description="Denoise steps of each picture; with a range, of the first.")
    steps_asked: StepBounds | None = Field(
        None, description="The range, where the steps were left open."
    )
    output_format: Format = Field(description="The file's format.")
    background: Literal["opaque"]
    usage: Usage
    safety_identifier: str | None = Field(None, description="As it was given.")
    timings: Timings | None = Field(None, description="With return_timings.")


class PartialEvent(BaseModel):
    """What the data of an image_generation.partial_image event holds."""

    type: Literal["image_generation.partial_image"]
    partial_image_index: int = Field(description="Of the looks at this picture, from 0.")
    created_at: int = Field(description="Unix seconds.")
    b64_json: str = Field(description="The file in base64, whatever the response_format.")
    seed: int = Field(description="The picture's seed, which tells the pictures of a call apart.")
    size: str = Field(description="WIDTHxHEIGHT in pixels, as the finished picture's.")
    quality: ReportedQuality = Field(description="What the steps come to.")
    output_format: Format = Field(description="The file's format.")
    background: Literal["opaque"]


class CompletedEvent(ImageData):
    """What the data of an image_generation.completed event holds."""

    type: Literal["image_generation.completed"]
    created_at: int = Field(description="Unix seconds.")
    size: str = Field(description="WIDTHxHEIGHT in pixels.")
    quality: ReportedQuality = Field(description="What the steps come to.")
    steps: int = Field(description="Denoise steps.")
    steps_asked: StepBounds | None = Field(
        None, description="The range, where the steps were left open."
    )
    output_format: Format = Field(description="The file's format.")
    background: Literal["opaque"]
    usage: Usage
    safety_identifier: str | None = Field(None, description="As it was given.")
    timings: Timings | None = Field(None, description="With return_timings.")


class ModelCard(BaseModel):
    """A name of the model that is served."""

    id: str = Field(description="What the model field takes.")
    object: Literal["model"]
    created: int = Field(description="Unix seconds at which this server began to serve it.")
    owned_by: str = Field(description="Always mezzotint.")


class ModelList(BaseModel):
    """What the model field takes."""

    object: Literal["list"]
    data: list[ModelCard] = Field(description="The names.")


class Error(BaseModel):
    """What was wrong and what to do."""

    message: str = Field(description="One sentence, with the remedy.")
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"] = Field(
        description="Whose turn it is to change something."
    )
    param: str | None = Field(description="The field that is wrong, where it is one.")
    code: str = Field(description="A word that programs can rely on.")


class ErrorResponse(BaseModel):
    """Any answer that is not the one asked for."""

    error: Error


REFERENCE = "#/components/schemas/{model}"
_DATA = [
    {"$ref": REFERENCE.format(model=kind)}
    for kind in ("PartialEvent", "CompletedEvent", "ErrorResponse")
]
EVENT: dict[str, Any] = {
    "type": "object",
    "description": "One server-sent event: image_generation.partial_image for each look at an "
    "unfinished picture, image_generation.completed for each finished one, or an error, which is "
    "the last.",
    "properties": {
        "event": {
            "type": "string",
            "enum": ["image_generation.partial_image", "image_generation.completed", "error"],
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"oneOf": _DATA},
        },
    },
    "required": ["event", "data"],
}


def event_schemas(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The schemas, by name, that only streams refer to and no route's model brings along."""
    parts: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(mode="serialization", ref_template=REFERENCE)
        parts |= schema.pop("$defs", {})
        parts[model.__name__] = schema
    return parts


_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
ERRORS: dict[int | str, dict[str, Any]] = {
    429: {"model": ErrorResponse, "description": "The queue is full.", "headers": _RETRY_AFTER},
    503: {
        "model": ErrorResponse,
        "description": "The model is not ready, has no room, or the server is closing.",
        "headers": _RETRY_AFTER,
    },
    "default": {"model": ErrorResponse, "description": "Any other error."},
}
