"""300 ways to name a file that is not one's own, in every place where a name goes in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import orjson
import pytest
from test_server_images import ADMIN, World

SECRET = "the-secret-of-this-machine"  # noqa: S105

PAYLOADS = (
    "../secret.txt",
    "../../secret.txt",
    "../../../../../../../../etc/passwd",
    "..%2fsecret.txt",
    "..%2f..%2fsecret.txt",
    "..%252f..%252fsecret.txt",
    "%2e%2e%2fsecret.txt",
    "%2e%2e/%2e%2e/secret.txt",
    "....//....//secret.txt",
    "..;/..;/secret.txt",
    "..\\..\\secret.txt",
    "..%5c..%5csecret.txt",
    "..%c0%af..%c0%afsecret.txt",
    "%c0%ae%c0%ae/secret.txt",
    "\u2025/secret.txt",
    "\uff0e\uff0e\uff0fsecret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "file:///etc/passwd",
    "http://127.0.0.1/secret.txt",
    "\\\\127.0.0.1\\share\\secret.txt",
    "~/.ssh/id_rsa",
    "secret.txt%00.png",
    "history.sqlite3",
    "outputs/../history.sqlite3",
    "/proc/self/environ",
    "C:\\Windows\\win.ini",
    "$HOME/secret.txt",
    "*",
)


@dataclass(frozen=True)
class Place:
    """Where a payload goes; `{}` stands for it in the address."""

    method: str
    address: str
    body: Callable[[str], object] | None = None
    header: str | None = None


PLACES = (
    Place("GET", "/{}"),
    Place("GET", "/assets/{}"),
    Place("GET", "/api/v1/images/{}"),
    Place("GET", "/api/v1/images/{}/file"),
    Place("GET", "/api/v1/images/{}/thumbnail"),
    Place("DELETE", "/api/v1/images/{}"),
    Place("GET", "/api/v1/jobs/{}"),
    Place("DELETE", "/api/v1/jobs/{}"),
    Place("DELETE", "/api/v1/keys/{}"),
    Place("DELETE", "/api/v1/presets/{}"),
    Place("GET", "/v1/images/{}/content?expires=1&signature=a"),
    Place("GET", "/api/v1/images?cursor={}"),
    Place("GET", "/api/v1/images?search={}"),
    Place("POST", "/models/{}", lambda _: {"inputs": "a"}),
    Place("POST", "/api/v1/images/zip", lambda payload: {"ids": [payload]}),
    Place("POST", "/v1/images/generations", lambda payload: {"prompt": "a", "model": payload}),
    Place("POST", "/v1/images/generations", lambda payload: {"prompt": "a", "preset": payload}),
    Place("PATCH", "/api/v1/settings", lambda payload: {payload: payload}),
    Place("PUT", "/api/v1/presets/{}", lambda _: {"values": {"steps": 1}}),
    Place("POST", "/api/v1/jobs", lambda _: {"prompt": "a", "steps": 1}, "Idempotency-Key"),
)


def call(app: object, place: Place, payload: str) -> tuple[int, bytes, bytes]:
    """Call an app with a path as it is, which no client would send. -> status, headers, body."""
    target = place.address.replace("{}", quote(payload, safe="/%:;\\*$~"))
    path, _, query = target.partition("?")
    headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    headers += [(key.lower().encode(), value.encode()) for key, value in ADMIN.items()]
    if place.header is not None:
        headers.append((place.header.lower().encode(), payload.encode()))
    data = b"" if place.body is None else orjson.dumps(place.body(payload))
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        if sent:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": place.method,
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[operator]
    body = b"".join(m.get("body", b"") for m in sent[1:])  # type: ignore[misc]
    return sent[0]["status"], repr(sent[0]["headers"]).encode(), body  # type: ignore[return-value]


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "history.sqlite3" not in path.name}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.method} {place.address}")
def test_no_name_leads_to_a_file(world: World, tmp_path: Path, place: Place) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    (world.files.outputs.parent / "secret.txt").write_text(SECRET)
    before = everything(tmp_path)
    for payload in PAYLOADS:
        status, headers, body = call(world.app, place, payload)
        assert status < 500, payload
        for word in (SECRET.encode(), b"root:x:", b"SQLite format", str(tmp_path).encode()):
            assert word not in headers + body, payload
    grown = everything(tmp_path) - before
    outputs, thumbnails = world.files.outputs, tmp_path / "data" / "thumbnails"
    assert all(
        outputs in path.parents or thumbnails in path.parents or path in (outputs, thumbnails)
        for path in grown
    )
    assert secret.read_text() == SECRET


def test_there_are_300() -> None:
    assert len(PLACES) * len(PAYLOADS) >= 300
    assert len(set(PAYLOADS)) == len(PAYLOADS)


def test_names_of_files_are_made_of_safe_characters(world: World) -> None:
    for seed, payload in enumerate(PAYLOADS):
        kept = world.add(payload, seed=seed)
        path = world.files.path(kept.file).resolve()
        assert world.files.outputs.resolve() in path.parents
        assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") | {
            c for c in path.name if c.isalpha()
        }
        answer = world.http.get(f"/api/v1/images/{kept.id}/file", params={"download": 1})
        assert answer.status_code == 200
        assert "/" not in answer.headers["content-disposition"]
        assert "\\" not in answer.headers["content-disposition"]
