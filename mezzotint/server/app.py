"""The HTTP application over any Runner: one router an API, one gate in front of all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from mezzotint.server import errors
from mezzotint.server.capabilities import capabilities_router
from mezzotint.server.compat.a1111 import a1111_router
from mezzotint.server.compat.hugging_face import hugging_face_router
from mezzotint.server.edge import Edge
from mezzotint.server.frame import Frame
from mezzotint.server.gpus import Gpus
from mezzotint.server.health import health_router
from mezzotint.server.history import History
from mezzotint.server.housekeeping import Housekeeper
from mezzotint.server.images_api import images_router
from mezzotint.server.inspect_api import inspect_router
from mezzotint.server.job_events import EVENTS
from mezzotint.server.jobs import Jobs
from mezzotint.server.jobs_api import jobs_router
from mezzotint.server.keys_api import keys_router
from mezzotint.server.live import LiveFeed
from mezzotint.server.metrics import Metrics, metrics_router
from mezzotint.server.openai import ImagesService, openai_router
from mezzotint.server.page import BUILT, page_router, read_page
from mezzotint.server.presets_api import presets_router
from mezzotint.server.queue import Queue
from mezzotint.server.results import Results
from mezzotint.server.schema import CompletedEvent, PartialEvent, event_schemas
from mezzotint.server.security import OPEN, Gate
from mezzotint.server.session_api import session_router
from mezzotint.server.sessions import COOKIE, Sessions
from mezzotint.server.settings import Settings
from mezzotint.server.settings_api import settings_router
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.stats_api import stats_router
from mezzotint.server.tuning import Live, Tuning
from mezzotint.server.watcher import Feed, Watcher
from mezzotint.version import __version__

_ABOUT = (
    "Pictures from text, in the shape of OpenAI's images API. Errors everywhere: "
    '{"error": {"message", "type", "param", "code"}}.'
)
_EVENTS: tuple[type[BaseModel], ...] = (PartialEvent, CompletedEvent, Frame, *EVENTS.values())


def create_app(
    source: RunnerSource,
    settings: Settings,
    history: History | None = None,
    feed: Feed | None = None,
) -> FastAPI:
    """Put the APIs over `source`, which is started and closed with the app.

    Without a `history` there are no jobs and no gallery; without a `feed` the stats are the
    source's own.
    """
    database = None if history is None else history.gallery.database
    tuning = Tuning(
        Live(max_queue=settings.max_queue),
        database,
        fixed=settings.fixed,
        running=settings.running,
    )
    queue = Queue(lambda: tuning.now.max_queue, lambda: tuning.now.wait_target_s)
    gpus = Gpus()
    metrics = Metrics(source, queue, gpus)
    watcher = Watcher(feed or LiveFeed(source, queue, gpus))
    source.when_open(lambda served: _open_line(served, queue, source, metrics))
    started: list[_Started] = [source, watcher]
    closed: list[_Closed] = [source, queue, watcher]
    jobs = None
    if history is not None:
        jobs = Jobs(history, source, queue, tuning, metrics, settings.root_path)
        source.when_open(lambda _: jobs.open())
        keeper = Housekeeper(history.gallery, tuning)
        started.append(keeper)
        closed += [jobs, keeper]
    sessions = Sessions(settings.keys)
    app = FastAPI(
        title="Mezzotint",
        description=_ABOUT,
        version=__version__,
        lifespan=_lifespan(started, closed),
        docs_url=None,  # these pages would load scripts from another site
        redoc_url=None,
        redirect_slashes=False,
    )
    service = ImagesService(
        source=source,
        queue=queue,
        results=Results(lambda: tuning.now.results_mib * 2**20, settings.results_s),
        tuning=tuning,
        aliases=settings.aliases,
        created=int(time.time()),
    )
    app.include_router(openai_router(service))
    app.include_router(hugging_face_router(service))
    if "a1111" in settings.compat:
        app.include_router(a1111_router(service))
    app.include_router(health_router(source))
    app.include_router(metrics_router(metrics))
    app.include_router(capabilities_router(source, gpus, history=history is not None))
    app.include_router(presets_router(source, database))
    app.include_router(stats_router(watcher, queue, database))
    app.include_router(inspect_router(source))
    app.include_router(session_router(sessions, root_path=settings.root_path))
    # Called first when the server is to end, while it still answers: streams end then.
    app.state.on_end = [watcher.end]
    if history is not None and jobs is not None:
        app.include_router(images_router(history, settings.root_path))
        app.include_router(jobs_router(jobs))
        app.state.on_end.append(jobs.settle)
        app.include_router(keys_router(history.gallery.database))
        app.include_router(settings_router(tuning))
    app.include_router(page_router(read_page(BUILT, settings.root_path)))
    errors.install(app)
    app.add_middleware(Gate, settings=settings, sessions=sessions)
    app.add_middleware(Edge, metrics=metrics, root_path=settings.root_path)  # added last: outermost
    document = cache(partial(_document, app))
    app.openapi = lambda: document(with_keys=settings.keys.required)  # type: ignore[method-assign]
    return app


class _Started(Protocol):
    def start(self) -> None: ...


class _Closed(Protocol):
    def close(self) -> None: ...


def _open_line(served: Served, queue: Queue, source: RunnerSource, metrics: Metrics) -> None:
    queue.open(
        served,
        is_ready=lambda: source.peek() is not None,
        on_picture=lambda image: metrics.picture(image, served.runner.stats().clock),
    )


def _lifespan(started: Sequence[_Started], closed: Sequence[_Closed]) -> Any:
    """Start in order, and close in the other."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for part in started:
            part.start()
        yield
        for each in reversed(closed):
            await asyncio.to_thread(each.close)

    return lifespan


def _document(app: FastAPI, *, with_keys: bool) -> dict[str, Any]:
    """The OpenAPI document, which says of each call whether it needs a key."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = document["components"]
    components["schemas"] = event_schemas(_EVENTS) | components["schemas"]
    if with_keys:
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        for path, calls in document["paths"].items():
            if not OPEN.fullmatch(path.replace("{id}", "id")):
                for call in calls.values():
                    call["security"] = [{"key": []}, {"session": []}]
    return document
