"""Keys over HTTP, for admins: what `mezzotint keys` does on the machine itself."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from mezzotint.jobs import keys
from mezzotint.jobs.database import Database
from mezzotint.jobs.keys import Key
from mezzotint.server.errors import ApiError, invalid
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.keys import Role
from mezzotint.server.schema import ERRORS
from mezzotint.server.security import need_admin
from mezzotint.types import RequestError

_Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9]{1,64}$", description="The key's id.")]


class NewKey(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(
        min_length=1, max_length=keys.MAX_NAME, description="Who will use it; shown in logs."
    )
    role: Role = Field("user", description="A user sees their own pictures, an admin all.")


class KeyInfo(BaseModel):
    """A key, without its secret; times in Unix seconds."""

    id: str = Field(description="A part of the key that may be shown.")
    name: str = Field(description="Who uses it.")
    role: Role = Field(description="user or admin.")
    created_at: float = Field(description="Unix seconds.")
    revoked_at: float | None = Field(description="Unix seconds; null: it is good.")
    last_used_at: float | None = Field(description="Unix seconds, to a minute; null: never.")


class MadeKey(KeyInfo):
    """A new key with its secret."""

    key: str = Field(description="Shown this once, and stored nowhere.")


class KeyList(BaseModel):
    """Every key, the oldest first, revoked ones too."""

    keys: list[KeyInfo] = Field(description="All of them, revoked ones too.")


def keys_router(database: Database) -> APIRouter:
    """/api/v1/keys; plain functions: the disk may be slow."""
    responses: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
    router = APIRouter(prefix="/api/v1/keys", tags=["keys"], responses=responses)

    @router.get("", summary="List keys (admin)")
    def list_keys(http: Request) -> KeyList:
        need_admin(http)
        found = database.read(keys.list_keys)
        return KeyList(keys=[KeyInfo(**_shown(key)) for key in found])

    @router.post("", summary="Make a key (admin)", status_code=201, dependencies=[JSON_ONLY])
    def add_key(body: NewKey, http: Request) -> MadeKey:
        need_admin(http)
        try:
            key, token = database.write(keys.add, body.name, body.role, _now_us())
        except RequestError as error:
            raise invalid(str(error), "name") from error
        return MadeKey(**_shown(key), key=token)

    @router.delete("/{id}", summary="Revoke a key for good (admin)", status_code=204)
    def revoke_key(id: _Id, http: Request) -> None:
        need_admin(http)
        try:
            database.write(keys.revoke, id, _now_us())
        except RequestError as error:
            raise ApiError(404, "there is no key of this id", code="not_found") from error

    return router


def _shown(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "created_at": key.created_us / 1e6,
        "revoked_at": _seconds(key.revoked_us),
        "last_used_at": _seconds(key.last_used_us),
    }


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / 1e6


def _now_us() -> int:
    return time.time_ns() // 1000
