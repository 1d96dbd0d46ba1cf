"""Calls made of the history's part of the OpenAPI document: never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from serving import until
from test_server_images import ADMIN, API, World

STORED = (API, "/api/v1/keys", "/api/v1/presets", "/api/v1/settings")
MAX_CALLS = 20  # of each operation, valid and invalid


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(Path(tmp_path_factory.mktemp("world")))
    made.add("a red apple")
    with made.http:  # starts its runner
        until(lambda: made.http.get("/ready").status_code == 200)
        yield made
    made.ring.close()
    made.gallery.database.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_call_breaks_the_history(world: World, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(world.app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    stored = [operation for operation in operations if operation.path.startswith(STORED)]
    assert len(stored) >= 16
    statuses: set[int] = set()

    def check(case: Case) -> None:
        sent = case.as_transport_kwargs(base_url="http://testserver", headers=ADMIN)
        known = {
            key: sent[key] for key in ("method", "url", "params", "headers", "json") if key in sent
        }
        if "data" in sent:
            known["content"] = sent["data"]
        statuses.add(world.http.request(**known).status_code)

    for operation in stored:
        strategy = operation.as_strategy(generation_mode=mode)
        settings(
            max_examples=MAX_CALLS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(given(case=strategy)(check))()
    assert statuses & {200, 400, 404}
    assert not [status for status in statuses if status >= 500]
