"""Signing in on the page: a cookie for a key, and nothing that another site's page could use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from test_server_images import ADMIN, API, World
from test_server_security import is_open, routes_of

from mezzotint.server.keys import Caller, FixedKeys, NoKeys
from mezzotint.server.sessions import COOKIE, MAX_SESSIONS, SESSION_S, Sessions

SESSION = "/api/v1/session"
KEYS = "/api/v1/keys"
OWN = {"Origin": "http://testserver"}
ADMIN_ONLY = {KEYS, f"{KEYS}/{{id}}", "/api/v1/settings"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ring.close()


def page_of(world: World, token: str, prefix: str = "") -> TestClient:
    """A browser in which somebody signed in."""
    page = TestClient(world.app)
    answer = page.post(f"{prefix}{SESSION}", json={"key": token}, headers=OWN)
    assert answer.status_code == 204, answer.text
    page.cookies = {COOKIE: re.search(rf"{COOKIE}=([^;]+)", answer.headers["set-cookie"])[1]}
    return page


def token_of(world: World) -> str:
    return world.user["Authorization"].removeprefix("Bearer ")


def test_signing_in_and_out(world: World) -> None:
    page = TestClient(world.app)
    assert page.get(SESSION).json() == {
        "keys_required": True,
        "signed_in": False,
        "name": None,
        "role": None,
    }
    page = page_of(world, token_of(world))
    info = page.get(SESSION).json()
    assert (info["signed_in"], info["name"], info["role"]) == (True, "alice", "user")
    assert page.get(API).status_code == 200
    assert page.delete(SESSION, headers=OWN).status_code == 204
    assert not page.get(SESSION).json()["signed_in"]
    assert page.get(API).status_code == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_script_and_no_other_site_gets_the_cookie(world: World, scheme: str) -> None:
    page = TestClient(world.app, base_url=f"{scheme}://testserver")
    answer = page.post(SESSION, json={"key": "k-admin"})
    words = set(answer.headers["set-cookie"].lower().split("; "))
    assert {"httponly", "samesite=strict", "path=/pics", f"max-age={SESSION_S}"} <= words
    assert ("secure" in words) == (scheme == "https")
    assert "domain" not in answer.headers["set-cookie"].lower()
    assert "k-admin" not in answer.headers["set-cookie"]


@pytest.mark.parametrize("key", ["k-admi", "k-admin ", "", "x" * 1001, 7, None])
def test_wrong_keys_open_no_session(world: World, key: object) -> None:
    answer = TestClient(world.app).post(SESSION, json={"key": key})
    assert answer.status_code in (400, 401)
    assert "set-cookie" not in answer.headers
    assert not key or str(key) not in answer.text


def test_a_form_of_another_site_cannot_sign_in(world: World) -> None:
    page = TestClient(world.app)
    for content, media in (
        ("key=k-admin", "application/x-www-form-urlencoded"),
        ('{"key":"k-admin"}', "text/plain"),
    ):
        answer = page.post(SESSION, content=content, headers={"Content-Type": media})
        assert answer.status_code in (400, 415)
        assert "set-cookie" not in answer.headers
    answer = page.post(SESSION, json={"key": "k-admin"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


def test_a_revoked_key_ends_its_sessions(world: World) -> None:
    page = page_of(world, token_of(world))
    assert page.get(API).status_code == 200
    assert world.http.delete(f"{KEYS}/{world.key.id}").status_code == 204
    assert page.get(API).status_code == 401


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        (OWN, True),
        (OWN | {"Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),  # no browser leaves the origin out
        ({"Origin": "null"}, False),
        ({"Origin": "http://testserver:3000"}, False),
        ({"Origin": "http://evil.example"}, False),
        (OWN | {"Sec-Fetch-Site": "same-site"}, False),
        (OWN | {"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_every_route_refuses_a_cookie_that_another_page_makes_a_browser_send(
    world: World, headers: dict[str, str], good: bool
) -> None:
    page = page_of(world, "k-admin")
    walked = 0
    for method, path in routes_of(world.app):
        if is_open(path) or method in ("GET", "HEAD"):
            continue
        walked += 1
        answer = page.request(method, path.replace("{id}", "abc"), headers=headers)
        assert (answer.status_code == 403) != good, (method, path, answer.text)
        assert good or answer.json()["error"]["code"] == "origin_not_allowed"
    assert walked >= 6


def test_a_link_from_another_port_leads_to_the_page_and_to_nothing_else(world: World) -> None:
    page = page_of(world, "k-admin")
    other = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}
    assert page.get("/", headers=other).status_code == 200
    assert not page.get(SESSION, headers=other).json()["signed_in"]
    assert page.get(API, headers=other).status_code == 403


def test_reading_takes_the_cookie_of_a_page_or_a_bookmark_alone(world: World) -> None:
    page = page_of(world, "k-admin")
    for site, status in (("none", 200), ("same-origin", 200), ("same-site", 403)):
        answer = page.get(API, headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status


def test_every_route_of_a_server_with_a_history_takes_a_key(world: World) -> None:
    nobody = TestClient(world.app)
    for method, path in routes_of(world.app):
        answer = nobody.request(method, path.replace("{id}", "abc"))
        assert (answer.status_code == 401) == (not is_open(path)), (method, path)


def test_only_admins_manage_keys(world: World) -> None:
    for method, path in routes_of(world.app):
        if path not in ADMIN_ONLY:
            continue
        body = {"POST": {"name": "x"}, "PATCH": {"max_queue": 1}}.get(method)
        answer = world.http.request(
            method, path.replace("{id}", "abc"), headers=world.user, json=body
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_only")
    assert [key["name"] for key in world.http.get(KEYS).json()["keys"]] == ["alice"]


def test_keys_over_http(world: World) -> None:
    made = world.http.post(KEYS, json={"name": "bob"})
    assert (made.status_code, made.json()["role"]) == (201, "user")
    bob = {"Authorization": f"Bearer {made.json()['key']}"}
    assert world.http.get(API, headers=bob).status_code == 200
    listed = world.http.get(KEYS)
    assert made.json()["key"] not in listed.text
    assert [key["name"] for key in listed.json()["keys"]] == ["alice", "bob"]
    assert world.http.delete(f"{KEYS}/{made.json()['id']}").status_code == 204
    assert world.http.get(API, headers=bob).status_code == 401
    assert world.http.get(KEYS).json()["keys"][1]["revoked_at"]
    assert world.http.delete(f"{KEYS}/none").status_code == 404
    for bad in ({"name": ""}, {"name": " "}, {"name": "x" * 101}, {"name": "x", "role": "root"}):
        assert world.http.post(KEYS, json=bad).status_code == 400


def test_sessions_end_with_time_and_make_room() -> None:
    now = 0.0
    ring = FixedKeys(["k"])
    held = Sessions(ring, clock=lambda: now)
    tokens = [held.start("k") or "" for _ in range(MAX_SESSIONS + 1)]
    assert held.find(tokens[0]) is None
    assert held.find(tokens[1]) == Caller("operator", "admin")
    assert held.start("other") is None
    now = SESSION_S
    assert held.find(tokens[-1]) is None
    held.start("k")
    assert len(held._open) == 1
    assert not [t for t in tokens if t in repr(vars(held))]


def test_a_server_without_keys_needs_no_session() -> None:
    held = Sessions(NoKeys())
    assert not held.keys_required
    assert held.find(held.start("anything") or "")


def test_a_key_in_a_header_goes_before_the_cookie(world: World) -> None:
    page = page_of(world, "k-admin")
    assert page.get(SESSION, headers=world.user).json()["name"] == "alice"
    wrong = {"Authorization": "Bearer no"}
    assert page.get(API, headers=wrong).status_code == 401
    assert page.get(API, headers=ADMIN).status_code == 200
