"""What every route with a JSON body asks of a call first."""

from __future__ import annotations

from fastapi import Depends
from starlette.requests import Request

from mezzotint.server.errors import ApiError


async def _check(http: Request) -> None:
    media = http.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json":
        message = "the body must be JSON: send Content-Type: application/json"
        raise ApiError(415, message, code="unsupported_media_type")


# Pages of other sites can send forms and plain text unasked, JSON never.
JSON_ONLY = Depends(_check)
