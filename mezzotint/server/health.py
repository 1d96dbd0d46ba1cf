"""Probes: /health while the process lives, /ready while it can make pictures."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from mezzotint.server.errors import NOT_READY_RETRY_S
from mezzotint.server.schema import ERRORS
from mezzotint.server.source import RunnerSource, State


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether pictures can be made."""

    status: State = Field(
        description="loading: not ready yet; restarting: what makes the pictures broke and is "
        "being replaced, requests wait; failed: it never will be ready, the log says why; closed: "
        "the server is ending."
    )
    seconds: float = Field(description="Since the server started, s.")
    loaded: float | None = Field(
        ge=0,
        le=1,
        description="While loading or restarting: the share of the weights that was read; null: "
        "not known, or nothing loads.",
    )


def health_router(source: RunnerSource) -> APIRouter:
    """GET /health and GET /ready; both open without a key."""
    router = APIRouter(tags=["operation"], responses={"default": ERRORS["default"]})

    @router.get("/health", summary="Is the process alive?")
    async def health() -> Health:
        return Health(status="ok")

    @router.get(
        "/ready",
        summary="Can it make pictures?",
        responses={503: {"model": Ready, "description": "Not yet, or never: see status."}},
    )
    async def ready(response: Response) -> Ready:
        state = source.state
        if state != "ready":
            response.status_code = 503
            response.headers["Retry-After"] = str(NOT_READY_RETRY_S)
        loaded = source.loaded if state in ("loading", "restarting") else None
        share = None if loaded is None else round(loaded, 3)
        return Ready(status=state, seconds=round(source.age_s, 1), loaded=share)

    return router
