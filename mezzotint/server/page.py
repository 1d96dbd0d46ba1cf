"""The web page: its built files, read once at the start and served from memory."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

# Beside the package's code: `make web` and the build of a wheel put it there.
BUILT = Path(__file__).parent.parent / "web"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'self'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
)
_FOREVER = "public, max-age=31536000, immutable"  # a name with a hash in it never changes
_ASK = "no-cache"
_MEDIA = {  # all that a build brings forth; not the system's table, which differs
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_PACKED = (".html", ".js", ".css", ".txt", ".svg")  # the rest is compressed already
_BASE = b'<base href="/">'
_ABSENT = """\
Mezzotint serves, but this installation has no web page: it was made from the sources without Node.
In a copy of the sources, with Node 20.19 or newer, run: make web
and start the server again. Wheels bring the page along. The API is here: openapi.json

Mezzotint 正在运行，但这份安装不含网页：它是在没有 Node 的情况下从源码安装的。
请在源码目录中用 Node 20.19 或更新的版本运行：make web
然后重新启动服务。wheel 安装包自带网页。接口说明见：openapi.json
"""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page, as it goes out."""

    data: bytes
    packed: bytes | None  # gzip's, where that is worth it
    media: str
    cache: str
    tag: str


def read_page(folder: Path, root_path: str) -> Mapping[str, PageFile]:
    """The built page's files by their address below the root; empty when it was never built."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files["" if name == "index.html" else name] = _read(path, name, root_path)
    return files if "" in files else {}


def page_router(files: Mapping[str, PageFile]) -> APIRouter:
    """GET / and the files it refers to; open without a key, for they hold nothing of anybody's."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def read_index(http: Request) -> Response:
        file = files.get("")
        if file is None:
            return Response(_ABSENT, media_type="text/plain; charset=utf-8")
        return _answer(file, http)

    for name, file in files.items():
        if name:
            router.add_api_route(f"/{name}", _handler(file), methods=["GET"])
    return router


def _handler(file: PageFile) -> Callable[[Request], Awaitable[Response]]:
    async def read_file(http: Request) -> Response:
        return _answer(file, http)

    return read_file


def _answer(file: PageFile, http: Request) -> Response:
    headers = {
        "Cache-Control": file.cache,
        "Content-Security-Policy": POLICY,
        "ETag": file.tag,
        "Vary": "Accept-Encoding",
    }
    if file.tag in http.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if file.packed is not None and "gzip" in http.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(file.packed, headers=headers, media_type=file.media)
    return Response(file.data, headers=headers, media_type=file.media)


def _read(path: Path, name: str, root_path: str) -> PageFile:
    data = path.read_bytes()
    if name == "index.html":
        # Every address in the page counts from here, wherever a proxy mounts it.
        data = data.replace(_BASE, f'<base href="{root_path}/">'.encode())
    return PageFile(
        data=data,
        packed=gzip.compress(data, 9, mtime=0) if path.suffix in _PACKED else None,
        media=_MEDIA[path.suffix],
        cache=_FOREVER if name.startswith("assets/") else _ASK,
        tag=f'"{hashlib.sha256(data).hexdigest()[:24]}"',
    )
