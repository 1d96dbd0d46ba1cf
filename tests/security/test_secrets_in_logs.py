"""Keys, cookies and prompts never reach the log, on any route, however they are sent."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fastapi.testclient import TestClient
from serving import forget_logs, until
from test_server_images import World

from mezzotint.server import logs
from mezzotint.server.sessions import COOKIE

PROMPT = "a very private picture"
T = TypeVar("T")


def log_of(tmp_path: Path, day: Callable[[World], T]) -> tuple[str, T]:
    """What a server logs while a day goes by, and what that returns."""
    text = io.StringIO()
    logs.configure(text)
    try:
        world = World(tmp_path)
        with world.http:
            until(lambda: world.http.get("/ready").status_code == 200)
            found = day(world)
        world.ring.close()
        world.gallery.database.close()
    finally:
        forget_logs()
    return text.getvalue(), found


def test_nothing_secret_is_logged(tmp_path: Path) -> None:
    logged, secrets = log_of(tmp_path, busy_day)
    assert logged.count('"event":"request"') > 20
    for secret in (*secrets, PROMPT, "private"):
        assert secret not in logged


def test_what_fails_is_logged_without_the_prompt(tmp_path: Path) -> None:
    logged, _ = log_of(tmp_path, bad_day)
    assert logged.count('"level":"error"') >= 2
    assert "cannot be written or deleted" in logged
    assert "full" in logged
    assert "private" not in logged


def bad_day(world: World) -> None:
    """Let the disk fail, and then a statement of the database."""
    http, database = world.http, world.gallery.database
    call = {"prompt": PROMPT, "width": 64, "height": 64, "steps": 1}
    id = http.post("/api/v1/jobs", json=call).json()["id"]
    until(lambda: http.get(f"/api/v1/jobs/{id}").json()["state"] == "done")
    (image,) = http.get(f"/api/v1/jobs/{id}").json()["images"]
    (path,) = world.gallery.files.outputs.glob("*/*private*")
    path.unlink()
    path.mkdir()
    assert http.delete(f"/api/v1/images/{image['id']}").status_code == 503
    fail = "CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'full'); END"
    database.write(lambda connection: connection.exec_driver_sql(fail))
    assert http.post("/api/v1/jobs", json=call).status_code == 500


def busy_day(world: World) -> list[str]:
    """Call what takes or gives a secret. -> all secrets that were sent or answered."""
    http, nobody = world.http, TestClient(world.app)
    own = {"Origin": "http://testserver"}
    signed = nobody.post("/api/v1/session", json={"key": "k-admin"}, headers=own)
    cookie = re.search(rf"{COOKIE}=([^;]+)", signed.headers["set-cookie"])[1]  # type: ignore[index]
    made = http.post("/api/v1/keys", json={"name": "bob"}).json()
    call = {"prompt": PROMPT, "negative_prompt": PROMPT, "size": "64x64", "steps": 1}
    url = http.post("/v1/images/generations", json=call | {"response_format": "url"}).json()
    signature = url["data"][0]["url"].partition("signature=")[2]
    secrets = ["k-admin", cookie, made["key"], made["key"].split("_")[2], signature]
    wrong = ["k-wrong-0123456789", "mz_0123456789ab_" + "f" * 64]
    for key in (*wrong, made["key"]):
        nobody.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
        nobody.get("/v1/models", headers={"Authorization": key})
        nobody.get(f"/v1/models?key={key}")
        nobody.get(f"/{key}/{key}", headers={"Cookie": f"{COOKIE}={key}"})
        basic = base64.b64encode(f"user:{key}".encode()).decode()
        nobody.get("/sdapi/v1/options", headers={"Authorization": f"Basic {basic}"})
        nobody.post("/api/v1/session", json={"key": key, "extra": key})
        nobody.post("/api/v1/session", json={"key": key}, headers=own)
        nobody.post("/api/v1/session", json={"key": [key]}, headers=own)
        secrets += [key, basic]
    nobody.get("/api/v1/images", headers={"Cookie": f"{COOKIE}={cookie}"})
    http.post("/api/v1/jobs", json={"prompt": PROMPT, "width": 64, "height": 64, "steps": 1})
    http.post("/models/fake", json={"inputs": PROMPT, "parameters": {"steps": PROMPT}})
    http.get("/api/v1/images", params={"search": PROMPT})
    http.put(f"/api/v1/presets/{PROMPT}", json={"values": {"negative_prompt": PROMPT}})
    http.delete(f"/api/v1/presets/{PROMPT}")
    http.post("/api/v1/inspect", content=PROMPT.encode())
    return secrets
