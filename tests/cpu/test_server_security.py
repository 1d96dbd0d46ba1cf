"""Who gets in and what an answer carries: keys, hosts, origins, sizes, headers, logs."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from fake_runner import FakeRunner
from serving import Running, forget_logs, raw_request, serving, until

from mezzotint.server import logs, security
from mezzotint.server.keys import FixedKeys
from mezzotint.server.settings import MAX_BODY_BYTES, Settings
from mezzotint.types import ConfigError

KEY = "k-0123456789abcdef"
OTHER_KEY = "k-fedcba9876543210"
GOOD = {"Authorization": f"Bearer {KEY}"}
CALL = {"prompt": "a red apple", "size": "64x64", "steps": 1}
OPEN = {"/health", "/ready", "/v1/images/{id}/content", "/api/v1/session"}
PAGE = re.compile(r"/|/assets/[^/]+|/favicon\.svg|/theme\.js|/licences\.txt")  # as it was built


@pytest.fixture(scope="module")
def locked() -> Iterator[Running]:
    settings = Settings(keys=FixedKeys([KEY, OTHER_KEY]), allowed_hosts=("pics.lan",))
    with serving(settings=settings) as running:
        yield running


def routes_of(app: object) -> list[tuple[str, str]]:
    """Every (method, path) an app answers, included routers too."""
    found: list[tuple[str, str]] = []
    waiting = list(app.routes)  # type: ignore[attr-defined]
    while waiting:
        route = waiting.pop()
        inner = getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", None
        )
        if inner:
            waiting += inner
        for method in getattr(route, "methods", None) or ():
            found.append((method, route.path))
    return found


def is_open(path: str) -> bool:
    """Whether a route answers without a key."""
    return path in OPEN or PAGE.fullmatch(path) is not None


def test_every_route_takes_a_key_but_the_open_ones(locked: Running) -> None:
    routes = routes_of(locked.app)
    closed = {"/v1/images/generations", "/v1/models", "/metrics", "/openapi.json"}
    assert {path for _, path in routes} >= OPEN | closed
    bodies = set()
    with locked.client() as http:
        for method, path in routes:
            answer = http.request(method, path.replace("{id}", "abc"))
            if is_open(path):
                assert answer.status_code != 401, path
                continue
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            if method != "HEAD":
                bodies.add(answer.content)
            with http.stream(method, path, headers=GOOD) as allowed:  # one of them never ends
                assert allowed.status_code not in (401, 403)
        bodies.add(http.get("/no/such/place").content)
    assert len(bodies) == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Basic {KEY}",
        f"Bearer {KEY},{OTHER_KEY}",
        "Bearer \xe9",
        KEY,
    ],
)
def test_wrong_keys(locked: Running, header: str) -> None:
    with locked.client() as http:
        answer = http.get("/v1/models", headers={b"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in answer.text


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {OTHER_KEY}", f"Bearer   {KEY}"])
def test_right_keys(locked: Running, header: str) -> None:
    with locked.client() as http:
        assert http.get("/v1/models", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize("key", ["", "two words", "ключ", "line\nbreak"])
def test_keys_no_header_can_carry(key: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits and punctuation") as caught:
        FixedKeys([key])
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:7860", True),
        ("127.0.0.1:1", True),
        ("192.168.1.20", True),
        ("[::1]:7860", True),
        ("pics.lan", True),
        ("PICS.LAN.:443", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("pics.lan.evil.example", False),
        ("notpics.lan", False),
        ("2130706433", False),
        ("evil.example@localhost", True),  # the host of this authority is localhost
        ("localhost@evil.example", False),
        ("[", False),
        ("", False),
    ],
)
def test_hosts(locked: Running, host: str, allowed: bool) -> None:
    answer = raw_request(
        locked.port, f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 200" if allowed else b"HTTP/1.1 403")
    assert allowed or b"host_not_allowed" in answer


def test_one_host_exactly(locked: Running) -> None:
    two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert not raw_request(locked.port, two).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:7860", True),
        ("https://pics.lan", True),
        ("null", False),
        ("http://localhost:3000", False),
        ("http://evil.example", False),
        ("http://localhost:7860.evil.example", False),
        ("http://localhost:7860@evil.example", False),
        ("http://[", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_origins(locked: Running, origin: str | None, allowed: bool, method: str) -> None:
    headers = GOOD | {"Host": "localhost:7860"}
    if origin is not None:
        headers["Origin"] = origin
    path = "/v1/models" if method == "GET" else "/v1/images/generations"
    with locked.client() as http:
        json_ = CALL if method == "POST" else None
        answer = http.request(method, path, headers=headers, json=json_)
    assert answer.status_code == (200 if allowed else 403)
    assert "access-control-allow-origin" not in answer.headers
    assert allowed or answer.json()["error"]["code"] == "origin_not_allowed"


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_pages_can_send_no_json_unasked(locked: Running, media: str | None) -> None:
    headers = dict(GOOD) if media is None else GOOD | {"Content-Type": media}
    with locked.client() as http:
        answer = http.post(
            "/v1/images/generations", content=json.dumps(CALL).encode(), headers=headers
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_bodies_are_bounded_before_they_are_parsed(locked: Running) -> None:
    head = (
        f"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}"
        "\r\nContent-Type: application/json\r\n"
    )
    long = raw_request(locked.port, f"{head}Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())
    assert long.startswith(b"HTTP/1.1 413")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    chunks = chunk * (MAX_BODY_BYTES // 0x10000 + 1)
    chunked = raw_request(
        locked.port, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
    )
    assert chunked.startswith(b"HTTP/1.1 413")
    for answer in (long, chunked):
        assert b'"code":"body_too_large"' in answer


def test_a_body_that_never_ends_holds_no_connection(
    locked: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "BODY_S", 0.1)
    head = (
        f"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}"
        "\r\n"
    )
    answer = raw_request(locked.port, f"{head}Content-Length: 100\r\n\r\n{{".encode())
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"body_too_slow"' in answer


def test_a_body_of_the_limit_is_read(locked: Running) -> None:
    body = json.dumps(CALL).encode()
    body += b" " * (MAX_BODY_BYTES - len(body))
    headers = GOOD | {"Content-Type": "application/json"}
    with locked.client() as http:
        answer = http.post("/v1/images/generations", content=body, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", b"", 404, "not_found"),
        ("GET", "/v1/images/generations", b"", 405, "method_not_allowed"),
        ("DELETE", "/health", b"", 405, "method_not_allowed"),
        ("GET", "/docs", b"", 404, "not_found"),
        ("GET", "/v1/images/../../etc/passwd/content", b"", 404, "not_found"),
        ("GET", "/v1/images/..%2f..%2fetc%2fpasswd/content?expires=1&signature=a", b"", 404, None),
        ("GET", "/v1/images/a/content", b"", 400, "missing_parameter"),
        ("GET", "/v1/images/a/content?expires=x&signature=a", b"", 400, "invalid_value"),
        ("GET", "/v1/images/a/content?expires=9&signature=%ff", b"", 404, "not_found"),
        ("POST", "/v1/images/generations", b"{", 400, "invalid_json"),
        ("POST", "/v1/images/generations", b"", 400, None),
        ("POST", "/v1/images/generations", b"[]", 400, "invalid_value"),
        ("POST", "/v1/images/generations", b"null", 400, None),
        ("POST", "/v1/images/generations", b"{}", 400, "missing_parameter"),
        ("POST", "/v1/images/generations", b'{"prompt":"\\ud800"}', 400, "invalid_value"),
        ("POST", "/v1/images/generations", b'{"prompt":"a","\\ud800":1}', 400, None),
        ("POST", "/v1/images/generations", b'{"prompt":"a","guidance_scale":NaN}', 400, None),
        ("POST", "/v1/images/generations", b'{"prompt":"a","seed":1e400}', 400, None),
        ("POST", "/v1/images/generations", b"[" * 100_000, 400, "invalid_json"),
        ("POST", "/v1/images/generations", b"\xff\xfe", 400, "invalid_json"),
        (
            "POST",
            "/v1/images/generations",
            b'{"prompt":"a","n":1' + b"0" * 5000 + b"}",
            400,
            "invalid_json",
        ),
    ],
)
def test_every_error_has_one_shape(
    locked: Running, method: str, path: str, body: bytes, status: int, code: str | None
) -> None:
    headers = GOOD | {"Content-Type": "application/json"}
    with locked.client() as http:
        answer = http.request(method, path, content=body, headers=headers)
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.status_code == status
    assert code is None or error["code"] == code
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/models", 200), ("/health", 200), ("/v1/images/generations", 405), ("/no", 404)],
)
def test_head_is_a_get_without_its_body(locked: Running, path: str, status: int) -> None:
    with locked.client(headers=GOOD) as http:
        answer, got = http.head(path), http.get(path)
    assert (answer.status_code, answer.content) == (status, b"")
    for name in ("content-type", "content-length"):
        assert answer.headers[name] == got.headers[name]


def test_head_of_a_stream_ends(locked: Running) -> None:
    with locked.client(headers=GOOD) as http:
        for _ in range(2):  # on one connection
            answer = http.head("/api/v1/stats/stream")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
    ended = 'mezzotint_requests_total{outcome="completed",route="/api/v1/stats/stream"}'
    until(lambda: locked.metric(ended, **GOOD) >= 2)


def test_a_compressed_body_is_a_415(locked: Running) -> None:
    headers = GOOD | {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(CALL).encode())
    with locked.client() as http:
        for path in ("/v1/images/generations", "/api/v1/inspect"):
            answer = http.post(path, content=body, headers=headers)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (415, "unsupported_media_type")
            assert "Content-Encoding" in error["message"]


def test_every_answer_has_safe_headers(locked: Running) -> None:
    with locked.client(headers=GOOD) as http:
        answers = [
            http.get("/health"),
            http.get("/nothing"),
            http.get("/v1/models", headers={"Authorization": "Bearer no"}),
            http.get("/v1/models", headers={"Host": "evil.example"}),
            http.post("/v1/images/generations", json={}),
            http.post("/v1/images/generations", json=CALL),
            http.post("/v1/images/generations", json=CALL | {"stream": True}),
            http.post("/v1/images/generations", json=CALL, headers={"Accept": "image/png"}),
        ]
        url = http.post("/v1/images/generations", json=CALL | {"response_format": "url"})
        answers.append(http.get(url.json()["data"][0]["url"]))
    for answer in answers:
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 16
        assert "server" not in answer.headers
    assert {a.headers["cache-control"] for a in answers[:-1]} == {"no-store"}
    assert len({a.headers["x-request-id"] for a in answers}) == len(answers)


def test_a_defect_of_ours_is_a_500_in_shape_and_a_log_line() -> None:
    class Broken(FakeRunner):
        def submit_all(self, requests: object) -> list[object]:  # type: ignore[override]
            raise ZeroDivisionError("at /secret/place")

    text = io.StringIO()
    logs.configure(text)
    try:
        with serving(Broken()) as server, server.client() as http:
            answer = http.post("/v1/images/generations", json=CALL)
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
            assert "secret" not in answer.text
            assert answer.headers["x-content-type-options"] == "nosniff"
    finally:
        forget_logs()
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    defect = next(line for line in lines if line["level"] == "error")
    assert "ZeroDivisionError" in defect["error"]
    assert defect["id"] == answer.headers["x-request-id"]


def test_logs_name_the_request_and_never_its_prompt_or_key() -> None:
    prompt = "a very private picture"
    calls: list[dict[str, object]] = [
        {"prompt": prompt},
        {"prompt": prompt, "response_format": "url"},
        {"prompt": prompt, "stream": True, "negative_prompt": prompt},
        {"prompt": prompt, "n": 99},
        {"prompt": prompt, "size": "100x100"},
        {"prompt": [prompt]},
    ]
    text = io.StringIO()
    logs.configure(text)
    settings = Settings(keys=FixedKeys([KEY]))
    try:
        with serving(settings=settings) as server, server.client(headers=GOOD) as http:
            answers = [http.post("/v1/images/generations", json=call) for call in calls]
            url = answers[1].json()["data"][0]["url"]
            http.get(url)
            http.get(f"/{prompt}")
    finally:
        forget_logs()
    logged = text.getvalue()
    for word in ("private", KEY, url.partition("signature=")[2]):
        assert word not in logged
    lines = [json.loads(line) for line in logged.splitlines()]
    ended = [line for line in lines if line["event"] == "request" and line["method"] == "POST"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 400, 400, 400]
    assert {line["id"]: line["status"] for line in ended} == {
        answer.headers["x-request-id"]: answer.status_code for answer in answers
    }
    assert {line["outcome"] for line in ended} == {"completed", "invalid"}
    assert {line["caller"] for line in ended} == {"operator"}
    assert {line["route"] for line in ended} == {"/v1/images/generations"}


def test_the_server_needs_no_torch() -> None:
    """Where workers hold the models, the process that answers must stay small and start fast."""
    code = (
        "import sys, mezzotint.server.app, mezzotint.server.run; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("prefix", ["", "/pictures"])
def test_behind_a_proxy_with_a_prefix(prefix: str) -> None:
    settings = Settings(root_path="/pictures", keys=FixedKeys([KEY]), allowed_hosts=("pics.lan",))
    with serving(settings=settings) as server, server.client() as http:
        assert http.get(f"{prefix}/health").status_code == 200
        assert http.get(f"{prefix}/v1/models").status_code == 401
        assert http.get("/picturesque/health").status_code == 401
        headers = GOOD | {"Host": "pics.lan", "X-Forwarded-Proto": "https"}
        call = CALL | {"response_format": "url"}
        answer = http.post(f"{prefix}/v1/images/generations", json=call, headers=headers)
        url = answer.json()["data"][0]["url"]
        assert url.startswith("https://pics.lan/pictures/v1/images/")
        local = url.replace("https://pics.lan/pictures", f"{server.url}{prefix}")
        assert http.get(local).status_code == 200
