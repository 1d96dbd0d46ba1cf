"""Signing in on the web page: a key is exchanged for a cookie that no script can read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.server.errors import ApiError
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.keys import Caller, Role
from mezzotint.server.schema import ERRORS
from mezzotint.server.sessions import COOKIE, SESSION_S, Sessions

MAX_KEY = 1000  # characters


class SignIn(BaseModel):
    """A key to exchange."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    key: str = Field(min_length=1, max_length=MAX_KEY, description="An API key of this server.")


class SessionInfo(BaseModel):
    """Who the server takes the caller for."""

    keys_required: bool = Field(description="false: this server needs no key, so no signing in.")
    signed_in: bool = Field(description="Whether calls like this one may use the API.")
    name: str | None = Field(description="The key's name.")
    role: Role | None = Field(description="An admin sees everybody's jobs and pictures.")


def session_router(sessions: Sessions, *, root_path: str) -> APIRouter:
    """/api/v1/session: open without a key."""
    responses: dict[int | str, dict[str, Any]] = {"default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1/session", tags=["session"], responses=responses)

    @router.get("", summary="Am I signed in?")
    async def read_session(http: Request) -> SessionInfo:
        caller: Caller | None = http.state.caller
        if caller is None:
            return SessionInfo(keys_required=True, signed_in=False, name=None, role=None)
        return SessionInfo(
            keys_required=sessions.keys_required,
            signed_in=True,
            name=caller.name,
            role=caller.role,
        )

    @router.post(
        "",
        summary="Sign in",
        description="Sets a cookie (HttpOnly, SameSite=Strict, a week) that counts as the key in "
        "calls by pages of this server. It ends with DELETE, with the key, and with the server.",
        status_code=204,
        dependencies=[JSON_ONLY],
    )
    async def sign_in(body: SignIn, http: Request) -> Response:
        token = sessions.start(body.key)
        if token is None:
            raise ApiError(401, "this key is not valid here; check it", code="invalid_api_key")
        sessions.end(http.cookies.get(COOKIE, ""))
        answer = Response(status_code=204)
        answer.set_cookie(
            COOKIE,
            token,
            max_age=SESSION_S,
            path=root_path or "/",
            secure=http.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.delete("", summary="Sign out", status_code=204)
    async def sign_out(http: Request) -> Response:
        sessions.end(http.cookies.get(COOKIE, ""))
        answer = Response(status_code=204)
        answer.delete_cookie(COOKIE, path=root_path or "/", httponly=True, samesite="strict")
        return answer

    return router
