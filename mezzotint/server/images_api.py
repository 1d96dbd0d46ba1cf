"""The native API's pictures: listed, read, starred, deleted, taken home as a zip."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from sqlalchemy import Connection
from starlette.responses import MalformedRangeHeader, RangeNotSatisfiable

from mezzotint.jobs import images, store
from mezzotint.jobs.images import MAX_SEARCH, StoredImage
from mezzotint.server.answer import MEDIA
from mezzotint.server.errors import ApiError, invalid
from mezzotint.server.history import History, scope_of
from mezzotint.server.image_schema import Deleted, ImageInfo, ImageList, Selection, StarRequest
from mezzotint.server.image_schema import image_info as show
from mezzotint.server.json_only import JSON_ONLY
from mezzotint.server.schema import ERRORS
from mezzotint.types import Format, RequestError

_CACHE = "private, max-age=31536000, immutable"  # an id's bytes never change
_DATE = (1980, 1, 1, 0, 0, 0)  # zip's first: the same selection makes the same bytes
_ERRORS: dict[int | str, dict[str, Any]] = {503: ERRORS[503], "default": ERRORS["default"]}
_BINARY = {name: {"schema": {"type": "string"}} for name in MEDIA.values()}
_ZIP = {"application/zip": {"schema": {"type": "string"}}}
_LEFT_OUT = {"X-Left-Out": {"description": "Ids left out.", "schema": {"type": "integer"}}}
_Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The picture's id.")]


def images_router(history: History, root_path: str) -> APIRouter:
    """The routes under /api/v1/images. They are plain functions: the disk may be slow."""
    router = APIRouter(prefix="/api/v1/images", tags=["gallery"], responses=_ERRORS)
    desk = _Desk(history, root_path)
    _add_reading(router, desk)
    _add_changing(router, desk)
    return router


def _add_reading(router: APIRouter, desk: _Desk) -> None:
    @router.get("", summary="List pictures, newest first")
    def list_images(
        http: Request,
        search: Annotated[
            str, Query(max_length=MAX_SEARCH, description="Words that the prompt must hold.")
        ] = "",
        starred: Annotated[bool, Query(description="Only starred ones.")] = False,
        format: Annotated[Format | None, Query(description="Only files of this format.")] = None,
        cursor: Annotated[
            str | None, Query(max_length=200, description="next_cursor of the page before.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200, description="Pictures a page.")] = 50,
    ) -> ImageList:
        wanted = {"search": search, "starred": starred, "format": format}
        return desk.page(http, wanted, cursor, limit)

    @router.get("/{id}", summary="Read what is known of a picture")
    def read_image(id: _Id, http: Request) -> ImageInfo:
        return desk.info(desk.find(id, http))

    @router.get(
        "/{id}/file",
        summary="Read a picture's file",
        response_class=Response,
        responses={200: {"content": _BINARY}, 304: {"description": "As the client has it."}},
    )
    def read_file(
        id: _Id,
        http: Request,
        download: Annotated[bool, Query(description="As a file to save.")] = False,
    ) -> Response:
        image = desk.find(id, http)
        path = desk.history.gallery.files.path(image.file)
        name = path.name if download else None
        return _file(http, path, image.sha256, MEDIA[image.format], name)

    @router.get(
        "/{id}/thumbnail",
        summary="Read a picture's thumbnail, a WebP",
        response_class=Response,
        responses={
            200: {"content": {"image/webp": {"schema": {"type": "string"}}}},
            304: {"description": "As the client has it."},
        },
    )
    def read_thumbnail(id: _Id, http: Request) -> Response:
        image = desk.find(id, http)
        path = desk.history.gallery.files.thumbnail(image.id)
        return _file(http, path, f"{image.sha256}-256", "image/webp", None)


def _add_changing(router: APIRouter, desk: _Desk) -> None:
    @router.patch("/{id}", summary="Star a picture, or take its star", dependencies=[JSON_ONLY])
    def star_image(id: _Id, body: StarRequest, http: Request) -> ImageInfo:
        desk.find(id, http)
        desk.history.gallery.database.write(images.set_starred, id, body.starred)
        return desk.info(desk.find(id, http))

    @router.delete("/{id}", summary="Delete a picture with its files", status_code=204)
    def delete_image(id: _Id, http: Request) -> None:
        desk.history.gallery.delete(desk.find(id, http))

    @router.post(
        "/delete",
        summary="Delete several pictures; ids that are none are left out",
        dependencies=[JSON_ONLY],
    )
    def delete_images(body: Selection, http: Request) -> Deleted:
        found = desk.select(body.ids, http)
        for image in found:
            desk.history.gallery.delete(image)
        return Deleted(deleted=len(found))

    @router.post(
        "/zip",
        summary="Read several pictures as one zip; ids that are none are left out",
        dependencies=[JSON_ONLY],
        response_class=Response,
        responses={200: {"content": _ZIP, "headers": _LEFT_OUT}},
    )
    def zip_images(body: Selection, http: Request) -> Response:
        paths = (desk.history.gallery.files.path(i.file) for i in desk.select(body.ids, http))
        files = [path for path in paths if path.is_file()]
        if not files:
            raise _absent()
        headers = {
            "Content-Disposition": 'attachment; filename="mezzotint.zip"',
            "X-Left-Out": str(len(set(body.ids)) - len(files)),
        }
        return StreamingResponse(_zip(files), media_type="application/zip", headers=headers)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Finds pictures for a caller: a user's own, for an admin all."""

    history: History
    root_path: str

    def find(self, id: str, http: Request) -> StoredImage:
        image = self.history.gallery.database.read(images.get, id, scope_of(http))
        if image is None:
            raise _absent()
        return image

    def select(self, ids: list[str], http: Request) -> list[StoredImage]:
        scope, read = scope_of(http), self.history.gallery.database.read
        found = (read(images.get, id, scope) for id in dict.fromkeys(ids))
        return [image for image in found if image is not None]

    def info(self, image: StoredImage) -> ImageInfo:
        job = self.history.gallery.database.read(store.get, image.job_id)
        if job is None:  # deleted this moment, its pictures with it
            raise _absent()
        return show(image, job.order.request, self.root_path)

    def page(
        self, http: Request, wanted: dict[str, Any], cursor: str | None, limit: int
    ) -> ImageList:
        def work(connection: Connection) -> ImageList:  # one snapshot: no row without its job
            key_id = scope_of(http)
            page = images.page(connection, key_id=key_id, cursor=cursor, limit=limit, **wanted)
            jobs = {id: store.get(connection, id) for id in {i.job_id for i in page.items}}
            shown = [
                show(image, job.order.request, self.root_path)
                for image in page.items
                if (job := jobs[image.job_id]) is not None
            ]
            return ImageList(data=shown, next_cursor=page.next)

        try:
            return self.history.gallery.database.read(work)
        except RequestError as error:
            raise invalid(str(error), None) from error


def _absent() -> ApiError:
    """The same for a picture that is another's: its id must not tell that it exists."""
    return ApiError(404, "there is no such picture; it may have been deleted", code="not_found")


def _file(http: Request, path: FilePath, tag: str, media: str, name: str | None) -> Response:
    headers = {"ETag": f'"{tag}"', "Cache-Control": _CACHE}
    known = http.headers.get("if-none-match", "")
    if known.strip() == "*" or f'"{tag}"' in known:
        return Response(status_code=304, headers=headers)
    if not path.is_file():
        raise _absent()
    return _File(path, media_type=media, headers=headers, filename=name)


class _File(FileResponse):
    """A file whose Range, where it is wrong, is answered as HTTP and our errors have it."""

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []  # as if there were none: the whole file
        except RangeNotSatisfiable as error:
            raise ApiError(
                416,
                f"the file has {file_size} bytes and the Range begins beyond; ask for less",
                code="range_not_satisfiable",
                headers={"Content-Range": f"bytes */{file_size}"},
            ) from error


class _Sink(io.RawIOBase):
    """Holds what the zip writes until it is sent on; it cannot seek, so sizes follow each file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _zip(files: list[FilePath]) -> Iterator[bytes]:
    """A zip, one picture in memory at a time; stored, since pictures do not shrink."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            archive.writestr(zipfile.ZipInfo(path.name, _DATE), path.read_bytes())
            yield sink.take()
    yield sink.take()
