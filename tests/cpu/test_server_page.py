"""The web page's files: open to everybody, harmless, cheap to ask for again."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from serving import serving

from mezzotint.server.keys import FixedKeys
from mezzotint.server.page import page_router, read_page
from mezzotint.server.settings import Settings

ROOT = Path(__file__).parents[2]
INDEX = '<!doctype html><base href="/"><script src="assets/index-1a2b.js"></script>'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "assets" / "index-1a2b.js").write_text("let page = 1;\n" * 100)
    return tmp_path


def client(folder: Path, root_path: str = "") -> TestClient:
    app = FastAPI()
    app.include_router(page_router(read_page(folder, root_path)))
    return TestClient(app)


def test_the_page_counts_its_addresses_from_where_a_proxy_mounts_it(built: Path) -> None:
    answer = client(built, "/pictures").get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<base href="/pictures/">' in answer.text


def test_the_page_may_load_nothing_from_elsewhere(built: Path) -> None:
    policy = client(built).get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


def test_what_has_a_hash_in_its_name_is_kept_and_the_page_is_asked_for(built: Path) -> None:
    page = client(built)
    script = page.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "gzip"})
    assert script.headers["content-encoding"] == "gzip"
    assert script.text == "let page = 1;\n" * 100
    assert "immutable" in script.headers["cache-control"]
    index = page.get("/", headers={"Accept-Encoding": "identity"})
    assert index.headers["cache-control"] == "no-cache"
    again = page.get("/", headers={"If-None-Match": index.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_only_the_files_that_were_built_are_there(built: Path) -> None:
    (built.parent / "secret.txt").write_text("secret")
    for path in ("/assets/..%2Findex.html", "/assets/../../secret.txt", "/index.html", "/x.js"):
        assert client(built).get(path).status_code == 404


def test_a_file_of_an_unknown_kind_is_a_mistake_of_the_build(built: Path) -> None:
    (built / "page.exe").write_bytes(b"MZ")
    with pytest.raises(KeyError):
        read_page(built, "")


def test_without_a_built_page_the_rest_serves_and_says_how_to_get_it(tmp_path: Path) -> None:
    answer = client(tmp_path / "absent").get("/")
    assert answer.status_code == 200
    assert "make web" in answer.text


def test_the_page_needs_no_key_and_the_api_does() -> None:
    settings = Settings(keys=FixedKeys(["k-0123456789"]))
    with serving(settings=settings) as running, running.client() as http:
        assert http.get("/").status_code == 200
        assert http.get("/v1/models").status_code == 401
        assert http.get("/assets/nothing.js").status_code == 404
        assert http.get("/assets/%2e%2e/v1/models").status_code in (401, 404)


def test_the_lock_of_its_packages_names_no_registry() -> None:
    lock = (ROOT / "webui" / "package-lock.json").read_text()
    assert '"integrity"' in lock
    assert '"resolved"' not in lock, "npm keeps addresses out with webui/.npmrc's own setting"
