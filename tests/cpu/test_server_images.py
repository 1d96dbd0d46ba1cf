"""The gallery over HTTP: what a caller sees, reads, stars, deletes and takes home."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_runner import FakeRunner, count_tokens
from fastapi.testclient import TestClient

from mezzotint.jobs import keys, store
from mezzotint.jobs.database import Database
from mezzotint.jobs.files import Files
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.order import Order
from mezzotint.jobs.store import NewJob
from mezzotint.server.app import create_app
from mezzotint.server.history import History
from mezzotint.server.keys import FixedKeys, StoredKeys
from mezzotint.server.settings import Settings
from mezzotint.server.source import RunnerSource, Served
from mezzotint.types import Image, Provenance, Recipe, Request, Span

API = "/api/v1/images"
ADMIN = {"Authorization": "Bearer k-admin"}


class World:
    def __init__(self, folder: Path, runner: FakeRunner | None = None) -> None:
        self.files = Files(folder / "outputs", folder / "thumbnails")
        self.gallery = Gallery(Database(folder / "history.sqlite3"), self.files)
        database = self.gallery.database
        self.key, token = database.write(keys.add, "alice", "user", 1)
        self.user = {"Authorization": f"Bearer {token}"}
        self.ring = StoredKeys(database, FixedKeys(["k-admin"]))
        self.runner = runner or FakeRunner()
        source = RunnerSource(lambda: Served(self.runner, count_tokens))
        settings = Settings(keys=self.ring, root_path="/pics", allowed_hosts=("testserver",))
        self.app = create_app(source, settings, history=History(self.gallery))
        self.http = TestClient(self.app, headers=ADMIN)

    def add(self, prompt: str, owner: str = store.LOCAL, seed: int = 7) -> StoredImage:
        name = f"{prompt}-{seed}"
        order = Order(Request(prompt=prompt, seed=seed, steps=3, guidance=1.5))
        new = NewJob(order=order, fingerprint=name, key_id=owner)
        job = self.gallery.database.write(store.create, new, id=name.replace(" ", "-"), now_us=seed)
        recipe = Recipe(
            prompt=prompt,
            negative_prompt="",
            width=64,
            height=48,
            steps=3,
            guidance=1.5,
            guidance_rescale=0.0,
            guidance_truncation=1.0,
            seed=seed,
        )
        where = Provenance(model="m", weights="w", precision="fp32", device="cpu", versions=())
        pixels = np.full((48, 64, 3), seed, np.uint8)
        spans = (Span("queue", 0.0, 1.0), Span("denoise", 1.0, 2.5), Span("denoise", 4.0, 2.5))
        image = Image(pixels, f"file of {name}".encode(), "png", recipe, where, spans)
        return self.gallery.save(job, 0, image, now_us=seed * 1_000_000)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ring.close()
    made.gallery.database.close()


def ids(answer: object) -> list[str]:
    return [image["id"] for image in answer.json()["data"]]  # type: ignore[attr-defined]


def test_a_picture_says_all_that_makes_it_again(world: World) -> None:
    kept = world.add("a red apple")
    info = world.http.get(f"{API}/{kept.id}").json()
    assert (info["seed"], info["created_at"]) == (7, 7.0)
    timings = info["timings"]
    assert (timings["queue_ms"], timings["denoise_ms"], timings["total_ms"]) == (1.0, 5.0, 6.0)
    assert info["file_url"] == f"/pics{API}/{kept.id}/file"
    request = info["request"]
    assert (request["width"], request["height"], request["steps"]) == (64, 48, 3)
    assert (request["guidance"], request["seed"], request["prompt"]) == (1.5, 7, "a red apple")
    assert world.http.get(info["thumbnail_url"]).content[8:12] == b"WEBP"


def test_lists_by_cursor_search_and_star(world: World) -> None:
    kept = [world.add("a red apple", seed=seed).id for seed in (1, 2, 3)]
    pear = world.add("一个梨", seed=4).id
    first = world.http.get(API, params={"limit": 3})
    assert ids(first) == [pear, kept[2], kept[1]]
    rest = world.http.get(API, params={"cursor": first.json()["next_cursor"]})
    assert (ids(rest), rest.json()["next_cursor"]) == ([kept[0]], None)
    assert ids(world.http.get(API, params={"search": "梨"})) == [pear]
    assert world.http.patch(f"{API}/{kept[0]}", json={"starred": True}).json()["starred"]
    assert ids(world.http.get(API, params={"starred": "true"})) == [kept[0]]
    for bad in ({"limit": 0}, {"limit": 201}, {"cursor": "nonsense"}, {"search": "x" * 201}):
        assert world.http.get(API, params=bad).status_code == 400


def test_a_file_is_sent_once(world: World) -> None:
    kept = world.add("a red apple")
    path = f"{API}/{kept.id}/file"
    first = world.http.get(path)
    assert first.content == b"file of a red apple-7"
    assert first.headers["etag"] == f'"{kept.sha256}"'
    assert "immutable" in first.headers["cache-control"]
    again = world.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert world.http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    saved = world.http.get(path, params={"download": 1})
    assert "a-red-apple-s7" in saved.headers["content-disposition"]
    world.files.path(kept.file).unlink()
    assert world.http.get(path).status_code == 404


def test_ranges_of_a_file(world: World) -> None:
    path = f"{API}/{world.add('a red apple').id}/file"
    part = world.http.get(path, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"file")
    for malformed in ("bytes=abc", "bytes=5-2", "lines=0-3", "nonsense", "bytes="):
        whole = world.http.get(path, headers={"Range": malformed})
        assert (whole.status_code, whole.content) == (200, b"file of a red apple-7")
    for beyond in ("bytes=99-", "bytes=-0"):
        answer = world.http.get(path, headers={"Range": beyond})
        assert answer.status_code == 416
        assert answer.headers["content-range"] == "bytes */21"
        assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_a_user_reaches_nothing_of_another(world: World) -> None:
    own, other = world.add("mine", owner=world.key.id), world.add("yours")
    assert ids(world.http.get(API, headers=world.user)) == [own.id]
    for method, path in [
        ("GET", other.id),
        ("GET", f"{other.id}/file"),
        ("GET", f"{other.id}/thumbnail"),
        ("PATCH", other.id),
        ("DELETE", other.id),
    ]:
        body = {"starred": True} if method == "PATCH" else None
        answer = world.http.request(method, f"{API}/{path}", headers=world.user, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    chosen = {"ids": [own.id, other.id]}
    taken = world.http.post(f"{API}/zip", json=chosen, headers=world.user)
    with zipfile.ZipFile(io.BytesIO(taken.content)) as archive:
        assert archive.namelist() == [Path(own.file).name]
    assert taken.headers["x-left-out"] == "1"
    deleted = world.http.post(f"{API}/delete", json=chosen, headers=world.user)
    assert deleted.json() == {"deleted": 1}
    assert ids(world.http.get(API)) == [other.id]


def test_deleting_takes_the_files_along(world: World) -> None:
    kept = world.add("a red apple")
    assert world.http.delete(f"{API}/{kept.id}").status_code == 204
    assert world.http.delete(f"{API}/{kept.id}").status_code == 404
    assert not world.files.path(kept.file).exists()
    assert not world.files.thumbnail(kept.id).exists()


def test_a_selection_as_a_zip(world: World) -> None:
    kept = [world.add("a red apple", seed=seed) for seed in (1, 2)]
    body = {"ids": [kept[0].id, kept[1].id, kept[0].id]}
    answer = world.http.post(f"{API}/zip", json=body)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [Path(image.file).name for image in kept]
        assert archive.read(archive.namelist()[1]) == b"file of a red apple-2"
    assert world.http.post(f"{API}/zip", json={"ids": ["none"]}).status_code == 404
    for bad in ([], ["../x"], ["a"] * 1001):
        assert world.http.post(f"{API}/zip", json={"ids": bad}).status_code == 400


def test_no_route_without_a_key(world: World) -> None:
    paths = {path: calls for path, calls in world.app.openapi()["paths"].items() if API in path}
    assert len(paths) == 6
    with TestClient(world.app) as nobody:
        for path, calls in paths.items():
            for method in calls:
                answer = nobody.request(method, path.replace("{id}", "abc"))
                assert (path, answer.status_code) == (path, 401)


def test_a_history_that_fails_is_a_503_without_a_path(world: World) -> None:
    kept = world.add("a red apple")
    with world.gallery.database._writer.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE images RENAME TO gone")
    answer = world.http.get(f"{API}/{kept.id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "history_unavailable")
    assert "sqlite" not in answer.text
