"""The OpenAPI document: complete, and true under calls made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import schemathesis
from fake_runner import FakeRunner
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from serving import Running, serving
from test_server_security import OPEN

from mezzotint.jobs.database import Database
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.place import DataFolder
from mezzotint.server.history import History
from mezzotint.server.keys import FixedKeys
from mezzotint.server.settings import Settings

KEY = "k-0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {KEY}"}
MAX_CALLS = 60  # of each operation, valid and invalid
# Values within the document's bounds may lie beyond the model's own: a 400, as it says.
SKIPPED = ("positive_data_acceptance",)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = DataFolder(tmp_path_factory.mktemp("data"))
    settings = Settings(keys=FixedKeys([KEY]), compat=frozenset({"a1111"}))
    with Database(folder.database) as database:
        history = History(Gallery(database, folder.files))
        with serving(FakeRunner(), settings, history=history) as running:
            yield running


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("POST /v1/images/generations", GenerationMode.POSITIVE),
        ("POST /v1/images/generations", GenerationMode.NEGATIVE),
        ("GET /v1/images/{id}/content", GenerationMode.POSITIVE),
        ("GET /v1/images/{id}/content", GenerationMode.NEGATIVE),
        ("GET /v1/models", GenerationMode.POSITIVE),
        ("GET /v1/models", GenerationMode.NEGATIVE),
        ("GET /metrics", GenerationMode.POSITIVE),
        ("GET /metrics", GenerationMode.NEGATIVE),
        ("GET /health", GenerationMode.POSITIVE),  # takes nothing: no call of it is invalid
        ("GET /ready", GenerationMode.POSITIVE),
        ("POST /api/v1/jobs", GenerationMode.POSITIVE),
        ("POST /api/v1/jobs", GenerationMode.NEGATIVE),
        ("GET /api/v1/jobs", GenerationMode.POSITIVE),
        ("GET /api/v1/jobs", GenerationMode.NEGATIVE),
        ("GET /api/v1/jobs/{id}", GenerationMode.POSITIVE),
        ("GET /api/v1/jobs/{id}/events", GenerationMode.POSITIVE),
        ("POST /api/v1/jobs/{id}/cancel", GenerationMode.POSITIVE),
        ("POST /api/v1/jobs/cancel", GenerationMode.POSITIVE),
        ("DELETE /api/v1/jobs/{id}", GenerationMode.NEGATIVE),
        ("GET /api/v1/images", GenerationMode.POSITIVE),
        ("GET /api/v1/stats", GenerationMode.POSITIVE),  # its stream never ends: not here
        ("GET /api/v1/stats/history", GenerationMode.POSITIVE),
        ("GET /api/v1/stats/trace", GenerationMode.POSITIVE),
        ("POST /models/{name}", GenerationMode.POSITIVE),
        ("POST /models/{name}", GenerationMode.NEGATIVE),
        ("POST /sdapi/v1/txt2img", GenerationMode.POSITIVE),
        ("POST /sdapi/v1/txt2img", GenerationMode.NEGATIVE),
        ("POST /sdapi/v1/options", GenerationMode.POSITIVE),
        ("GET /sdapi/v1/progress", GenerationMode.POSITIVE),
        ("POST /api/v1/inspect", GenerationMode.POSITIVE),
        ("GET /api/v1/session", GenerationMode.POSITIVE),
        ("POST /api/v1/session", GenerationMode.POSITIVE),
        ("POST /api/v1/session", GenerationMode.NEGATIVE),
        ("DELETE /api/v1/session", GenerationMode.POSITIVE),
    ],
)
def test_calls_made_of_the_document(server: Running, name: str, mode: GenerationMode) -> None:
    schemathesis.checks.load_all_checks()
    checks = {check.__name__: check for check in schemathesis.checks.CHECKS.get_all()}
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=HEADERS)
    operations = {f"{o.method.upper()} {o.path}": o for o in _all(schema)}

    @settings(
        max_examples=MAX_CALLS,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operations[name].as_strategy(generation_mode=mode))
    def call(case: Case) -> None:
        response = case.call(headers=HEADERS, timeout=20)
        case.validate_response(
            response, excluded_checks=[checks[name] for name in SKIPPED], headers=HEADERS
        )
        assert response.status_code < 500  # nothing is loading or full here

    call()


def _all(schema: object) -> Iterator[object]:
    for result in schema.get_all_operations():  # type: ignore[attr-defined]
        yield result.ok()


def test_every_field_says_what_it_is(server: Running) -> None:
    document = server.app.openapi()
    schemas = document["components"]["schemas"]
    fields = [
        (f"{model}.{name}", field)
        for model in ("GenerationRequest", "JobCall")
        for name, field in schemas[model]["properties"].items()
    ]
    for name, field in fields:
        assert field.get("description"), name
        kinds = field.get("anyOf", [field])
        for kind in kinds:
            if kind.get("type") in ("integer", "number"):
                assert kind.keys() & {"minimum", "exclusiveMinimum", "const"}, name
                assert kind.keys() & {"maximum", "const"}, name
            if kind.get("type") == "string":
                assert kind.keys() & {"maxLength", "enum", "pattern", "const"}, name
    for model, schema in schemas.items():
        assert schema.get("description"), model
        for name, field in schema.get("properties", {}).items():
            assert field.keys() & {"description", "$ref", "const"}, f"{model}.{name}"
    for call in (c for path in document["paths"].values() for c in path.values()):
        assert call["summary"]
        assert "422" not in call["responses"]
        for parameter in call.get("parameters", ()):
            assert parameter["description"]


def test_the_document_says_which_calls_need_a_key(server: Running) -> None:
    paths = server.app.openapi()["paths"]
    locked = {path for path, calls in paths.items() for c in calls.values() if "security" in c}
    assert paths.keys() - locked == OPEN


def test_the_document_refers_to_nothing_that_it_lacks(server: Running) -> None:
    document = server.app.openapi()
    text = json.dumps(document)
    referred = set(re.findall(r'"#/components/schemas/([A-Za-z]+)"', text))
    assert {"CompletedEvent", "ProgressEvent"} <= referred
    assert referred <= set(document["components"]["schemas"])


def test_every_json_body_needs_its_content_type(server: Running) -> None:
    calls = [
        (method, path)
        for path, methods in server.app.openapi()["paths"].items()
        for method, call in methods.items()
        if "application/json" in call.get("requestBody", {}).get("content", {})
    ]
    assert len(calls) >= 12
    with server.client(headers=HEADERS | {"Content-Type": "text/plain"}) as http:
        for method, path in calls:
            answer = http.request(method, re.sub(r"{\w+}", "a", path), content=b"{}")
            code = answer.json()["error"]["code"]
            assert (answer.status_code, code) == (415, "unsupported_media_type"), path
