"""The HTTP application over any Runner: one router an API, one gate in front of all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from mezzotint.server import errors
from mezzotint.server.capabilities import capabilities_router
from mezzotint.server.compat.a1111 import a1111_router
from mezzotint.server.compat.hugging_face import hugging_face_router
from mezzotint.server.edge import Edge
from mezzotint.server.frame import Frame
from mezzotint.server.health import health_router
from mezzotint.server.history import History
from mezzotint.server.images_api import images_router
from mezzotint.server.inspect_api import inspect_router
from mezzotint.server.job_events import EVENTS
from mezzotint.server.jobs_api import jobs_router
from mezzotint.server.keys_api import keys_router
from mezzotint.server.known_query import KNOWN_QUERY
from mezzotint.server.metrics import metrics_router
from mezzotint.server.openai import ImagesService, openai_router
from mezzotint.server.page import BUILT, page_router, read_page
from mezzotint.server.parts import Closed, Parts, Started, assemble
from mezzotint.server.presets_api import presets_router
from mezzotint.server.results import Results
from mezzotint.server.schema import CompletedEvent, PartialEvent, event_schemas
from mezzotint.server.security import OPEN, Gate
from mezzotint.server.session_api import session_router
from mezzotint.server.sessions import COOKIE
from mezzotint.server.settings import Settings
from mezzotint.server.settings_api import settings_router
from mezzotint.server.source import RunnerSource
from mezzotint.server.stats_api import stats_router
from mezzotint.server.watcher import Feed
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
    parts = assemble(source, settings, history, feed)
    app = FastAPI(
        title="Mezzotint",
        description=_ABOUT,
        version=__version__,
        lifespan=_lifespan(parts.started, parts.closed),
        docs_url=None,  # these pages would load scripts from another site
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in _routers(parts):
        ours = router.prefix.startswith("/api/")  # other APIs' clients may say more than we know
        app.include_router(router, dependencies=[KNOWN_QUERY] if ours else None)
    # Called first when the server is to end, while it still answers: streams end then.
    app.state.on_end = [parts.watcher.end, *([parts.jobs.settle] if parts.jobs else [])]
    errors.install(app)
    app.add_middleware(Gate, settings=settings, sessions=parts.sessions)
    # Added last: outermost.
    app.add_middleware(Edge, metrics=parts.metrics, root_path=settings.root_path)
    document = cache(partial(_document, app))
    app.openapi = lambda: document(with_keys=settings.keys.required)  # type: ignore[method-assign]
    return app


def _routers(parts: Parts) -> Iterator[APIRouter]:
    """Every API; the page comes last, since it answers whatever path is left."""
    source, root_path = parts.source, parts.settings.root_path
    service = ImagesService(
        source=source,
        queue=parts.queue,
        results=Results(lambda: parts.tuning.now.results_mib * 2**20, parts.settings.results_s),
        tuning=parts.tuning,
        database=parts.database,
        aliases=parts.settings.aliases,
        created=int(time.time()),
    )
    yield openai_router(service)
    yield hugging_face_router(service)
    if "a1111" in parts.settings.compat:
        yield a1111_router(service)
    yield health_router(source)
    yield metrics_router(parts.metrics)
    yield capabilities_router(source, parts.gpus, parts.tuning, history=parts.history is not None)
    yield presets_router(source, parts.database)
    yield stats_router(parts.watcher, parts.queue, parts.database)
    yield inspect_router(source)
    yield session_router(parts.sessions, root_path=root_path)
    if parts.history is not None and parts.jobs is not None:
        yield images_router(parts.history, root_path)
        yield jobs_router(parts.jobs)
        yield keys_router(parts.history.gallery.database)
        yield settings_router(parts.tuning)
    yield page_router(read_page(BUILT, root_path))


def _lifespan(started: Sequence[Started], closed: Sequence[Closed]) -> Any:
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
