"""Pages of other sites: names that were turned to this machine, calls behind a user's back."""

from __future__ import annotations

import re
from itertools import product

import pytest
from fastapi.testclient import TestClient
from test_server_images import World

from mezzotint.server.sessions import COOKIE

HOSTS = {  # what a browser says it calls -> whether this server is meant
    "testserver": True,  # given with --allowed-host
    "127.0.0.1:7860": True,
    "[::1]:7860": True,
    "evil.example": False,
    "testserver.evil.example": False,
    "localhost.evil.example:7860": False,
}
ORIGINS = {  # of the page that calls, "SAME" for one that this server sent
    "SAME": "own",
    None: "none",  # no page at all
    "null": "other",
    "http://evil.example": "other",
    "http://localhost:3000": "other",
    "http://testserver:3000": "neighbour",  # another port of an allowed name
}
CALLS = (
    ("GET", "/api/v1/images", None),
    ("POST", "/v1/images/generations", {"prompt": "a", "size": "64x64", "steps": 1}),
)
MATRIX = list(product(HOSTS, ORIGINS, CALLS))  # each with a key and with a cookie


def test_there_are_60() -> None:
    assert len(MATRIX) >= 60


def call(world: World, host: str, origin: str | None, what: tuple, headers: dict) -> int:
    method, path, body = what
    sent = {"Host": host} | headers
    if origin is not None:
        sent["Origin"] = f"http://{host}" if origin == "SAME" else origin
    page = TestClient(world.app)
    answer = page.request(method, path, headers=sent, json=body)
    assert "access-control-allow-origin" not in answer.headers
    return answer.status_code


@pytest.fixture
def cookie(world: World) -> dict[str, str]:
    answer = TestClient(world.app).post("/api/v1/session", json={"key": "k-admin"})
    found = re.search(rf"{COOKIE}=([^;]+)", answer.headers["set-cookie"])
    assert found is not None
    return {"Cookie": f"{COOKIE}={found[1]}"}


def test_with_a_key_every_page_but_another_sites_may_call(world: World) -> None:
    for host, origin, what in MATRIX:
        good = HOSTS[host] and ORIGINS[origin] != "other"
        status = call(world, host, origin, what, {"Authorization": "Bearer k-admin"})
        assert status == (200 if good else 403), (host, origin, what[0])


def test_with_a_cookie_only_our_own_page_may_change_anything(
    world: World, cookie: dict[str, str]
) -> None:
    for host, origin, what in MATRIX:
        own = ORIGINS[origin] == "own" or (ORIGINS[origin] == "none" and what[0] == "GET")
        status = call(world, host, origin, what, cookie)
        assert status == (200 if HOSTS[host] and own else 403), (host, origin, what[0])


def test_forms_and_plain_text_reach_nothing(world: World, cookie: dict[str, str]) -> None:
    own = cookie | {"Origin": "http://testserver"}
    for media in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        for path in ("/v1/images/generations", "/api/v1/jobs", "/models/fake", "/api/v1/keys"):
            answer = TestClient(world.app).post(
                path, content=b'{"prompt":"a","inputs":"a","name":"a"}',
                headers=own | {"Content-Type": media},
            )  # fmt: skip
            assert answer.status_code in (400, 415), (media, path)
