"""What every route of our own asks of a call's query: that it names nothing we do not know."""

from __future__ import annotations

from fastapi import Depends
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from starlette.requests import Request

from mezzotint.server.errors import invalid, safe_name


async def _check(http: Request) -> None:
    if not http.query_params:
        return
    params = get_flat_params(http.scope["route"].dependant)
    known = {param.alias for param in params if isinstance(param.field_info, Query)}
    for name in map(safe_name, http.query_params):
        if name not in known:
            message = f"{name} is no query parameter of this call; /openapi.json lists those"
            raise invalid(message, name, "unknown_parameter")


# A filter that is spelt wrong would else list everything, as if it had been heard.
KNOWN_QUERY = Depends(_check)
