"""A model hub on this machine that speaks as Hugging Face and as ModelScope, and can misbehave."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

MODEL = "Tongyi-MAI/Z-Image-Turbo"
COMMIT = "c0ffee" * 6 + "c0de"
WEIGHTS = hashlib.shake_256(b"weights").digest(3 * 2**20 + 17)
BIG = "transformer/diffusion_pytorch_model.safetensors"
FILES = {
    "model_index.json": b'{"_class_name": "ZImagePipeline"}',
    "tokenizer/merges.txt": "深 度\n".encode(),
    "tokenizer/tokenizer.json": b"{}",
    "tokenizer/chat_template.jinja": b"{{ messages }}",
    "scheduler/empty.json": b"",
    BIG: WEIGHTS,
}
UNWANTED = {
    "README.md": b"# readme",
    ".gitattributes": b"x",
    "assets/image (1).png": b"png",
    "pipeline.py": b"import os",
    "tokenizer/tokenizer.py": b"import os",
    "unet/weights.bin": b"pickle",
    "vae/weights.pt": b"pickle",
}


class Asked(NamedTuple):
    method: str
    path: str  # the file's path in the repository, or the request's
    range: str | None
    authorization: str | None
    cookie: str | None


@dataclass
class Hub:
    """A hub and its file server: two addresses that answer as both public hubs do."""

    files: dict[str, bytes] = field(default_factory=lambda: FILES | UNWANTED)
    asked: list[Asked] = field(default_factory=list)
    cuts: dict[str, list[int]] = field(default_factory=dict)  # bytes to send before a cut
    statuses: dict[str, list[int]] = field(default_factory=dict)  # answers before the right one
    error_code: str = ""
    ignores_ranges: bool = False
    served: dict[str, bytes] = field(default_factory=dict)  # other bytes than were listed
    url: str = ""
    files_url: str = ""

    def of(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path == path]

    def hf_listing(self) -> dict[str, Any]:
        siblings = []
        for path, data in self.files.items():
            entry: dict[str, Any] = {"rfilename": path, "size": len(data)}
            blob = b"blob %d\0" % len(data) + data
            entry["blobId"] = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
            if path.endswith(".safetensors"):
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {"id": MODEL, "sha": COMMIT, "siblings": siblings}

    def modelscope_listing(self) -> dict[str, Any]:
        files: list[dict[str, Any]] = [{"Path": "transformer", "Type": "tree", "Size": 0}]
        for path, data in self.files.items():
            sha256 = hashlib.sha256(data).hexdigest()
            files.append({"Path": path, "Type": "blob", "Size": len(data), "Sha256": sha256})
        return {"Code": 200, "Success": True, "Data": {"Files": files}}


def _handler(fake: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Keep the tests' output clean."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if url.path == f"/api/models/{MODEL}" and query.get("blobs") == ["true"]:
                self.listing(fake.hf_listing())
            elif url.path == f"/api/v1/models/{MODEL}/repo/files" and query["Recursive"] == [
                "True"
            ]:
                self.listing(fake.modelscope_listing())
            elif url.path == f"/api/v1/models/{MODEL}/repo" and query["Revision"] == ["master"]:
                self.file(query["FilePath"][0], redirect=False)
            elif url.path.startswith(f"/{MODEL}/resolve/{COMMIT}/"):
                path = url.path.split(COMMIT + "/")[1]
                self.file(path, redirect=path.endswith(".safetensors"))
            elif url.path.startswith("/cdn/"):
                self.file(url.path[5:], redirect=False)
            else:
                self.note(url.path)
                self.answer(404, b"{}")

        def note(self, path: str) -> None:
            get = self.headers.get
            asked = Asked(self.command, path, get("Range"), get("Authorization"), get("Cookie"))
            fake.asked.append(asked)

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def listing(self, value: dict[str, Any]) -> None:
            self.note("listing")
            if queue := fake.statuses.get("listing"):
                self.answer(queue.pop(0), b"{}", X_Error_Code=fake.error_code)
            else:
                self.answer(200, json.dumps(value).encode())

        def file(self, path: str, redirect: bool) -> None:
            if redirect:
                self.note("redirect")
                self.answer(302, b"", Location=f"{fake.files_url}/cdn/{path}")
                return
            self.note(path)
            if queue := fake.statuses.get(path):
                self.answer(queue.pop(0), b"")
                return
            data = fake.served.get(path, fake.files[path])
            start = 0
            if (wanted := self.headers.get("Range")) and not fake.ignores_ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if queue := fake.cuts.get(path):
                self.wfile.write(data[start : start + queue.pop(0)])
                self.close_connection = True
                self.wfile.flush()
            else:
                self.wfile.write(data[start:])

    return Handler


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a fake hub at two addresses of this machine: the hub and its file server."""
    fake = Hub()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake)) for _ in range(2)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    fake.url, fake.files_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield fake
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
