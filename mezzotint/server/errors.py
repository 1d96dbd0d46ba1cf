"""Every error in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from mezzotint.config import reason_of
from mezzotint.jobs.database import HistoryError
from mezzotint.jobs.room import QueueFullError
from mezzotint.jobs.store import ConflictError
from mezzotint.types import Cancelled, RequestError, ResourceError
from mezzotint.workers.errors import WorkerError

Kind = Literal["invalid_request_error", "rate_limit_error", "server_error"]

NOT_READY_RETRY_S = 2
_MAX_NAME = 100  # characters of a client's own field name that an error repeats
_TAGS = {"<number>", "<range>", "[key]"}  # pydantic's own words in a path; schema.Steps has two
_log = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer other than the one asked for."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        kind: Kind = "invalid_request_error",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Write it as JSON."""
        data = orjson.dumps(self.body)
        return Response(data, self.status, self.headers, media_type="application/json")


class Disconnected(Exception):
    """The client went away: there is nobody to answer."""


def invalid(message: str, param: str | None, code: str = "invalid_value") -> ApiError:
    """A 400 that names the field."""
    return ApiError(400, message, code=code, param=param)


def not_ready(state: str) -> ApiError:
    """A 503 while the weights load, or when they never will."""
    message = f"the model is not ready (it is {state}); try again, or watch /ready"
    headers = {"Retry-After": str(NOT_READY_RETRY_S)}
    return ApiError(503, message, code="model_not_ready", kind="server_error", headers=headers)


def explain(error: BaseException, request_id: str) -> ApiError:
    """Say what ended a picture, without a path or a stack in it; the log has the rest."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ConflictError):
        return ApiError(409, str(error), code="idempotency_conflict", param="Idempotency-Key")
    if isinstance(error, RequestError):
        return invalid(str(error), None, error.code)
    if isinstance(error, Cancelled):
        message = "the server is closing; ask again in a moment"
        return ApiError(503, message, code="closing", kind="server_error")
    if isinstance(error, QueueFullError):
        headers = {"Retry-After": str(error.wait_s)}
        kind: Kind = "rate_limit_error"
        return ApiError(429, str(error), code="queue_full", kind=kind, headers=headers)
    _log.error("picture failed", exc_info=error, extra={"id": request_id})
    if isinstance(error, WorkerError):
        message = "the process that was making this picture broke; its log says why"
        return ApiError(503, message, code="worker_failed", kind="server_error")
    if isinstance(error, HistoryError):
        return _history_unavailable()
    if isinstance(error, ResourceError):
        message = "the machine has no room for this picture; ask for a smaller size"
        return ApiError(503, message, code="out_of_resources", kind="server_error")
    return internal_error()


def internal_error() -> ApiError:
    """A 500 that tells the client nothing of our insides."""
    message = "the server failed; its log says why, under this answer's X-Request-Id"
    return ApiError(500, message, code="internal_error", kind="server_error")


def install(app: FastAPI) -> None:
    """Give the app's own errors, those of validation and those of routing one shape."""
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Disconnected, _on_disconnect)
    app.add_exception_handler(ResourceError, _on_resource)


async def _on_api_error(_: Request, error: Exception) -> Response:
    return error.response() if isinstance(error, ApiError) else internal_error().response()


async def _on_validation(_: Request, error: Exception) -> Response:
    problems = error.errors() if isinstance(error, RequestValidationError) else ()
    return _first_problem(problems).response()


async def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return internal_error().response()
    # A 400 is FastAPI's for a body that its JSON reader choked on.
    codes = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "http_error")
    message = {
        400: "the body is no JSON: send UTF-8, without deep nesting or endless numbers",
        404: "there is nothing here; /openapi.json lists what there is",
        405: f"{request.method} is not for this address; /openapi.json lists what is",
    }.get(error.status_code, str(error.detail))
    headers = {"Allow": _methods(request)} if error.status_code == 405 else error.headers
    return ApiError(error.status_code, message, code=code, headers=headers).response()


def _methods(request: Request) -> str:
    """All that an address takes: the router names what its first route takes."""
    found = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    ]
    return ", ".join(("HEAD", *found) if "GET" in found else found)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nginx's number for it; seen by our own log alone


async def _on_resource(request: Request, error: Exception) -> Response:
    """The history's: the making of pictures explains its own."""
    _log.error("history failed", exc_info=error, extra={"id": request.state.request_id})
    return _history_unavailable().response()


def _history_unavailable() -> ApiError:
    message = "the server's disk or history does not take part; its log says why"
    return ApiError(503, message, code="history_unavailable", kind="server_error")


def _first_problem(problems: Sequence[Any]) -> ApiError:
    """Name the first field that is wrong; its value, which may be private, is not repeated."""
    if not problems:
        return invalid("the request is not valid", None)
    problem = problems[0]
    kind, location = str(problem["type"]), problem["loc"]
    if kind == "json_invalid":
        return invalid("the body is not valid JSON; correct it", None, "invalid_json")
    parts = [safe_name(str(part)) for part in location[1:] if part not in _TAGS]
    param, path = parts[0] if parts else None, ".".join(parts)
    if kind == "extra_forbidden":
        message = f"{path} is no field of this call; /openapi.json lists those there are"
        return invalid(message, param, "unknown_parameter")
    reason = reason_of(problem)
    missing = kind == "missing" and len(parts) < 2  # else what is there lacks a part
    code = "missing_parameter" if missing else "invalid_value"
    said = reason.startswith(f"{path} ")  # by a sentence of ours
    return invalid(reason if said else f"{path or 'the body'}: {reason}", param, code)


def safe_name(name: str) -> str:
    """A name of the client's own as an error may repeat it."""
    return name[:_MAX_NAME].encode("utf-8", "backslashreplace").decode()
