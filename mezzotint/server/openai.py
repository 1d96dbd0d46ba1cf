"""OpenAI's images API: POST /v1/images/generations, GET /v1/models, signed results."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest

from mezzotint.jobs.database import Database
from mezzotint.server import events
from mezzotint.server.answer import MEDIA, Answer
from mezzotint.server.errors import ApiError, Disconnected, explain, invalid
from mezzotint.server.feed import Done, Feed, Look
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.own_presets import fill_call, find_own, own_steps
from mezzotint.server.queue import Queue, terms_of
from mezzotint.server.results import Link, Results
from mezzotint.server.schema import (
    ERRORS,
    EVENT,
    GenerationRequest,
    ImagesResponse,
    ModelCard,
    ModelList,
)
from mezzotint.server.source import RunnerSource
from mezzotint.server.translate import base_steps_of, check_model, served_names, to_requests
from mezzotint.server.tuning import Tuning
from mezzotint.types import Format, Image, MezzotintError

_FORMATS: dict[str, Format] = {"image/png": "png", "image/webp": "webp", "image/jpeg": "jpeg"}
_BINARY: dict[str, Any] = {name: {"schema": {"type": "string"}} for name in _FORMATS}
_EVENTS: dict[str, Any] = {"text/event-stream": {"itemSchema": EVENT}}


@dataclass(frozen=True, slots=True, eq=False)
class ImagesService:
    """What the images API is made of."""

    source: RunnerSource
    queue: Queue
    results: Results
    tuning: Tuning
    database: Database | None  # where callers keep presets
    aliases: tuple[str, ...]
    created: int  # Unix seconds


def openai_router(service: ImagesService) -> APIRouter:
    """The routes under /v1."""
    router = APIRouter(prefix="/v1", tags=["images"])

    @router.post(
        "/images/generations",
        summary="Make pictures",
        description="Answers when all pictures are finished. They are cancelled when the client "
        "disconnects. With an Accept header of image/png, image/webp or image/jpeg the answer is "
        "the file itself, with X-Seed and Server-Timing headers.",
        dependencies=[JSON_ONLY],
        responses={200: {"model": ImagesResponse, "content": _BINARY | _EVENTS}, **ERRORS},
    )
    async def generate(call: GenerationRequest, http: HttpRequest) -> Response:
        return await _generate(service, call, http)

    @router.get(
        "/images/{id}/content",
        summary="Read a picture by its signed link",
        description="Needs no key: the link is the proof. Made by response_format url.",
        response_class=Response,
        responses={200: {"content": _BINARY}, 404: ERRORS["default"], "default": ERRORS["default"]},
    )
    async def read_content(
        id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The picture's id.")],
        expires: Annotated[int, Query(ge=0, le=2**53, description="Unix seconds.")],
        signature: Annotated[str, Query(max_length=64, description="HMAC-SHA256, in hex.")],
    ) -> Response:
        return _content(service, Link(id, expires, signature))

    @router.get(
        "/models",
        summary="List the names of the served model",
        response_model=ModelList,
        responses={503: ERRORS[503], "default": ERRORS["default"]},
    )
    async def list_models() -> ModelList:
        names = served_names(service.source.get().runner.spec, service.aliases)
        return ModelList(object="list", data=[_card(service, name) for name in names])

    @router.get(
        "/models/{id:path}",
        summary="Read what one of those names is",
        responses={404: ERRORS["default"], 503: ERRORS[503], "default": ERRORS["default"]},
    )
    async def read_model(
        id: Annotated[str, Path(max_length=200, description="A name that /v1/models lists.")],
    ) -> ModelCard:
        names = served_names(service.source.get().runner.spec, service.aliases)
        check_model(id, names)
        return _card(service, next(name for name in names if name.lower() == id.lower()))

    return router


def _card(service: ImagesService, name: str) -> ModelCard:
    return ModelCard(id=name, object="model", created=service.created, owned_by="mezzotint")


async def _generate(service: ImagesService, call: GenerationRequest, http: HttpRequest) -> Response:
    service.source.get()  # a 503 comes before anything that is wrong with the call
    if call.partial_images and not call.stream:
        raise invalid("only a stream has room for partial images; add stream", "partial_images")
    raw = _raw_format(call, http)
    call = call.model_copy(update={"n": 1}) if raw else call
    answer, feed = await _begin(service, call, http, raw or call.output_format)
    if call.stream:
        http.state.outcome = "cancelled"  # until the last event is out
        return events.EventStream(_events(answer, feed), feed.cancel)
    images = await _collect(answer, feed)
    return answer.raw(images[0]) if raw else answer.document(images)


async def generate_file(
    service: ImagesService, call: GenerationRequest, http: HttpRequest, format: Format | None
) -> Response:
    """Make one picture and answer with its file."""
    answer, feed = await _begin(service, call.model_copy(update={"n": 1}), http, format)
    return answer.raw((await _collect(answer, feed))[0])


async def _begin(
    service: ImagesService, call: GenerationRequest, http: HttpRequest, asked: Format | None
) -> tuple[Answer, Feed]:
    """Let a call's pictures in; ApiError."""
    served = service.source.get()
    spec = served.runner.spec
    check_model(call.model, served_names(spec, service.aliases))
    terms = terms_of(http, call.priority or 0)
    started = time.monotonic()
    try:
        own, base_steps = None, base_steps_of(call.preset, spec)
        if call.preset is not None:
            own = await run_in_threadpool(find_own, service.database, call.preset, http)
        if own is not None:
            call, base_steps = fill_call(call, own), own_steps(own) or spec.steps
        format = asked or (own and own.format) or "png"
        requests = to_requests(call, spec, base_steps, format, service.tuning.now)
        feed = await service.queue.submit(requests, terms)
    except MezzotintError as error:
        raise explain(error, http.state.request_id) from error
    open_steps = requests[0].steps_range
    answer = Answer(call, http, served, format, base_steps, service.results, started, open_steps)
    return answer, feed


async def _collect(answer: Answer, feed: Feed) -> list[Image]:
    """All pictures, in the order of their seeds; the first failure ends them all."""
    images: dict[int, Image] = {}
    try:
        async with aclosing(feed.read(answer.http)) as news:
            async for item in news:
                if isinstance(item, Done):
                    images[item.index] = item.image
    except Disconnected:
        raise
    except Exception as error:
        raise explain(error, answer.http.state.request_id) from error
    return [images[index] for index in range(len(images))]


async def _events(answer: Answer, feed: Feed) -> AsyncIterator[bytes]:
    state = answer.http.state
    try:
        async with aclosing(feed.read(answer.http, events.PING_S)) as news:
            async for item in news:
                match item:
                    case None:
                        yield events.PING
                    case Look():  # in a thread: it is enlarged and encoded
                        data = await run_in_threadpool(answer.partial, item)
                        yield events.event("image_generation.partial_image", data)
                    case Done():
                        data = answer.completed(item.image)
                        yield events.event("image_generation.completed", data)
    except Disconnected:
        return
    except Exception as error:
        state.outcome = "failed"
        yield events.event("error", explain(error, state.request_id).body)
        return
    state.outcome = "completed"


def _content(service: ImagesService, link: Link) -> Response:
    result = service.results.open(link)
    if result is None:
        message = "this link is not ours, is too old, or its picture made room for newer ones"
        raise ApiError(404, message, code="not_found")
    # Any page may show the picture: whoever has the link was given it.
    headers = {"Cache-Control": "private, max-age=3600, immutable"}
    return Response(result.data, headers=headers, media_type=MEDIA[result.format])


def format_of(http: HttpRequest) -> Format | None:
    """The file format an Accept header puts first."""
    first = http.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return _FORMATS.get(first)


def _raw_format(call: GenerationRequest, http: HttpRequest) -> Format | None:
    """The file format an Accept header puts first, where the call goes with it; None for JSON."""
    format = format_of(http)
    if format is None:
        return None
    first = MEDIA[format]
    if call.output_format not in (None, format):
        raise invalid(f"output_format and the Accept header {first} differ", "output_format")
    if (call.n or 1) > 1:
        raise invalid(f"an answer of {first} holds one picture; ask for n 1", "n")
    if call.stream:
        raise invalid(f"an answer of {first} cannot stream; accept text/event-stream", "stream")
    if call.response_format == "url":
        raise invalid(f"an answer of {first} holds no url", "response_format")
    return format
