"""A1111's API over the one model: txt2img, progress, interrupt, and the lists that clients read."""

from __future__ import annotations

import time
from typing import Annotated, Any

import orjson
import pybase64
from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest

from mezzotint.images.metadata import PARAMETERS_KEY, render
from mezzotint.images.preview import encode_preview
from mezzotint.models.recipe import series
from mezzotint.server.compat.a1111_run import Run, Runs
from mezzotint.server.compat.a1111_schema import (
    OFF,
    Progress,
    ProgressState,
    Sampler,
    SdModel,
    Txt2Img,
    Txt2ImgAnswer,
)
from mezzotint.server.errors import explain, invalid, safe_name
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.keys import Caller
from mezzotint.server.open_steps import with_open_steps
from mezzotint.server.openai import ImagesService
from mezzotint.server.queue import terms_of
from mezzotint.server.schema import ERRORS
from mezzotint.server.settings import MAX_PICTURES
from mezzotint.server.source import Served
from mezzotint.server.translate import from_cfg
from mezzotint.types import Image, MezzotintError, Recipe, Request

PREFIX = "/sdapi/v1"

_SAMPLER = Sampler(
    name="Euler", aliases=["Euler a", "euler", "euler_a", "k_euler", "k_euler_a"], options={}
)
_SCHEDULERS = ("automatic", "Automatic", "")
_EMPTY_LISTS = ("upscalers", "latent-upscale-modes", "sd-vae", "loras", "hypernetworks")
_LOOKS = 3
_ECHOED = {"prompt", "negative_prompt", "batch_size", "n_iter", "send_images"}


def a1111_router(service: ImagesService) -> APIRouter:
    """The routes under /sdapi/v1, which take the key as a Basic password too."""
    errors: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
    router = APIRouter(prefix=PREFIX, tags=["other clients"], responses=errors)
    runs = Runs()
    _add_making(router, service, runs)
    _add_lists(router, service)
    return router


def _add_making(router: APIRouter, service: ImagesService, runs: Runs) -> None:
    @router.post(
        "/txt2img",
        summary="Make pictures for A1111's clients",
        dependencies=[JSON_ONLY],
        response_model=Txt2ImgAnswer,
        responses={429: ERRORS[429]},
    )
    async def txt2img(call: Txt2Img, http: HttpRequest) -> Response:
        return await _make(service, runs, call, http)

    @router.get("/progress", summary="How far is the caller's newest call?")
    async def progress(
        http: HttpRequest,
        skip_current_image: Annotated[bool, Query(description="Leave the look out.")] = False,
    ) -> Progress:
        run = runs.newest(_key_id(http))
        if run is None:
            return _IDLE
        look = None if skip_current_image else await run_in_threadpool(_look, service, run)
        return _progress(run, look)

    @router.post("/interrupt", summary="End the caller's calls; they answer with what is finished")
    async def interrupt(http: HttpRequest) -> dict[str, str]:
        runs.interrupt(_key_id(http))
        return {}

    @router.post("/skip", summary="The same as interrupt")
    async def skip(http: HttpRequest) -> dict[str, str]:
        runs.interrupt(_key_id(http))
        return {}


def _add_lists(router: APIRouter, service: ImagesService) -> None:
    @router.get("/options", summary="Read A1111's options")
    async def read_options() -> dict[str, str | int]:
        return _options(service.source.get())

    @router.post(
        "/options",
        summary="Take options that are as they are",
        description="For clients that send the model's name before each call: any other value is "
        "an error.",
        dependencies=[JSON_ONLY],
    )
    async def change_options(options: dict[str, Any]) -> None:
        _check_options(options, service.source.get())

    @router.get("/samplers", summary="List samplers")
    async def list_samplers() -> list[Sampler]:
        return [_SAMPLER]

    @router.get("/schedulers", summary="List schedulers")
    async def list_schedulers() -> list[dict[str, str]]:
        return [{"name": "automatic", "label": "Automatic"}]

    @router.get("/sd-models", summary="List models")
    async def list_models() -> list[SdModel]:
        return [_model(service.source.get())]

    @router.get("/scripts", summary="List scripts: there are none")
    async def list_scripts() -> dict[str, list[str]]:
        return {"txt2img": [], "img2img": []}

    for name in _EMPTY_LISTS:
        router.add_api_route(f"/{name}", _nothing, methods=["GET"], summary=f"No {name} are here")


async def _nothing() -> list[str]:
    return []


async def _make(service: ImagesService, runs: Runs, call: Txt2Img, http: HttpRequest) -> Response:
    served = service.source.get()
    try:
        requests = _requests(call, served, service)
        feed = await service.queue.submit(requests, terms_of(http, 0))
    except MezzotintError as error:
        raise explain(error, http.state.request_id) from error
    run = Run(_key_id(http), feed, len(requests), time.monotonic())
    with runs.holding(run):
        images = await run.collect(http)
    return Response(_answer(call, images, served), media_type="application/json")


def _requests(call: Txt2Img, served: Served, service: ImagesService) -> list[Request]:
    """One engine request a picture; ApiError and RequestError for what cannot be."""
    _check(call, served)
    n = (call.batch_size or 1) * (call.n_iter or 1)
    if n > MAX_PICTURES:
        raise invalid(f"batch_size times n_iter is {n}; at most {MAX_PICTURES}", "n_iter")
    spec, live = served.runner.spec, service.tuning.now
    guidance = from_cfg("cfg_scale", call.cfg_scale, spec)
    guided = (spec.guidance if guidance is None else guidance) > 0
    request = Request(
        prompt=call.prompt or "",
        empty_prompt=True,
        # As in A1111: a CFG scale of 1 leaves the negative prompt without effect.
        negative_prompt=(call.negative_prompt or "") if guided else "",
        width=call.width,
        height=call.height,
        steps=call.steps,
        guidance=guidance,
        seed=call.seed,
        previews=_LOOKS,
        metadata=live.metadata,
    )
    return series(with_open_steps(request, live.open_steps), n, spec)


def _check(call: Txt2Img, served: Served) -> None:
    """ApiError 400 for whatever would change the picture in a way that is not here."""
    for name in OFF:
        if getattr(call, name):
            raise invalid(f"{name} is not here; leave it out", name)
    for name in ("sampler_name", "sampler_index"):
        if getattr(call, name) not in (None, "", _SAMPLER.name, *_SAMPLER.aliases):
            raise invalid(f"{name}: this model has the sampler {_SAMPLER.name} alone", name)
    if call.scheduler not in (None, *_SCHEDULERS):
        raise invalid("scheduler: this model has its own alone, automatic", "scheduler")
    _check_options(call.override_settings or {}, served, "override_settings")


def _check_options(options: dict[str, Any], served: Served, param: str | None = None) -> None:
    """ApiError 400 that names the option, or the `param` that holds them."""
    known = _options(served)
    names = (known["sd_model_checkpoint"], known["sd_checkpoint_hash"], served.runner.spec.name)
    for name, value in options.items():
        same = names if name == "sd_model_checkpoint" else (known.get(name),)
        if name not in known or value not in same:
            shown = safe_name(name)
            raise invalid(f"the option {shown!r} cannot be changed here", param or shown)


def _options(served: Served) -> dict[str, str | int]:
    return {
        "sd_model_checkpoint": _model(served).title,
        "sd_checkpoint_hash": served.runner.provenance.weights,
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 1,
        "samples_format": "png",
    }


def _model(served: Served) -> SdModel:
    name, weights = served.runner.spec.name, served.runner.provenance.weights
    return SdModel(
        title=f"{name} [{weights[:10]}]",
        model_name=name,
        hash=weights[:10],
        sha256=weights,
        filename=f"{name}.safetensors",
        config=None,
    )


def _answer(call: Txt2Img, images: list[Image], served: Served) -> bytes:
    sent = images if call.send_images else []
    made = [image.recipe for image in images]
    parameters = call.model_dump(include=_ECHOED) | {"sampler_name": _SAMPLER.name}
    if made:
        parameters |= _facts(made[0])
    body = {
        "images": [pybase64.b64encode_as_string(image.data) for image in sent],
        "parameters": parameters,
        "info": orjson.dumps(_info(made, served)).decode(),
    }
    return orjson.dumps(body)


def _facts(recipe: Recipe) -> dict[str, Any]:
    return {
        "seed": recipe.seed,
        "width": recipe.width,
        "height": recipe.height,
        "steps": recipe.steps,
        "cfg_scale": recipe.guidance + 1.0,
    }


def _info(made: list[Recipe], served: Served) -> dict[str, Any]:
    if not made:
        return {"all_seeds": [], "infotexts": []}
    first = made[0]
    return _facts(first) | {
        "prompt": first.prompt,
        "negative_prompt": first.negative_prompt,
        "all_prompts": [recipe.prompt for recipe in made],
        "all_negative_prompts": [recipe.negative_prompt for recipe in made],
        "all_seeds": [recipe.seed for recipe in made],
        "sampler_name": _SAMPLER.name,
        "batch_size": len(made),
        "sd_model_name": served.runner.spec.name,
        "sd_model_hash": served.runner.provenance.weights[:10],
        "infotexts": [_infotext(recipe, served) for recipe in made],
    }


def _infotext(recipe: Recipe, served: Served) -> str:
    texts = render(
        recipe, served.runner.provenance, producer="", level="full", content_id="", format="png"
    )
    return texts[PARAMETERS_KEY]


def _look(service: ImagesService, run: Run) -> str | None:
    look, served = run.look, service.source.peek()
    if look is None or served is None:
        return None
    provenance = served.runner.provenance
    file = encode_preview(look.pixels, "png", look.recipe, provenance, served.producer)
    return pybase64.b64encode_as_string(file)


_IDLE = Progress(
    progress=0.0,
    eta_relative=0.0,
    state=ProgressState(
        skipped=False,
        interrupted=False,
        job="",
        job_count=0,
        job_timestamp="0",
        job_no=0,
        sampling_step=0,
        sampling_steps=0,
    ),
    current_image=None,
    textinfo=None,
)


def _progress(run: Run, look: str | None) -> Progress:
    done, total = run.feed.steps
    share = done / total if total else 0.0
    elapsed_s = time.monotonic() - run.started_s
    state = ProgressState(
        skipped=False,
        interrupted=run.interrupted,
        job="txt2img",
        job_count=run.n,
        job_timestamp=run.timestamp,
        job_no=run.finished,
        sampling_step=-(-done // run.n),  # of each, when all are drawn together
        sampling_steps=total // run.n,
    )
    eta_s = elapsed_s * (1 - share) / share if share else 0.0
    return Progress(
        progress=min(share, 0.99),  # at 1 clients take it for over, and it is not written yet
        eta_relative=eta_s,
        state=state,
        current_image=look,
        textinfo=None,
    )


def _key_id(http: HttpRequest) -> str:
    caller: Caller = http.state.caller
    return caller.key_id
