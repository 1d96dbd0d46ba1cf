"""A server over a pool of workers: where it stands while they load, break and come back."""

from __future__ import annotations

import threading
from pathlib import Path

import openai
import pytest
from fake_engine import SPEC as ENGINE_SPEC
from fake_engine import config
from fake_runner import FakeRunner, count_tokens
from serving import serving, until

from mezzotint.server.source import RunnerSource, Served
from mezzotint.types import ModelError
from mezzotint.workers.errors import WorkerError
from mezzotint.workers.pace import Policy
from mezzotint.workers.pool import Pool
from mezzotint.workers.spawn import Launch

PROMPT = "a red apple"
CALL = {"prompt": PROMPT, "size": "64x64"}
ROUTE = "/v1/images/generations"
PROGRAM = (str(Path(__file__).parents[1] / "fake_engine.py"),)


def pool_of(**settings: object) -> Pool:
    """One worker with a fake engine."""
    launch = Launch(config=config(**settings), program=PROGRAM)
    return Pool(ENGINE_SPEC, [launch], Policy(backoff_s=0.02, max_backoff_s=0.1))


def served(pool: Pool) -> Served:
    return Served(pool, count_tokens, state=lambda: pool.state, loaded=lambda: pool.loaded)


def test_a_pool_is_ready_once_a_worker_is() -> None:
    pool = pool_of(load_s=1.5)
    with serving(load=lambda: served(pool), wait=False) as server, server.client() as http:
        first = http.get("/ready").json()
        assert (first["status"], first["loaded"]) in (("loading", None), ("loading", 0.0))
        until(lambda: (http.get("/ready").json()["loaded"] or 0) >= 0.4)
        assert http.post(ROUTE, json=CALL).status_code == 503
        assert server.metric("mezzotint_ready") == 0
        until(lambda: http.get("/ready").status_code == 200)
        assert http.post(ROUTE, json=CALL).status_code == 200
        assert server.metric("mezzotint_ready") == 1
        assert http.get("/ready").json()["loaded"] is None
    assert pool.state == "closed"


def test_requests_wait_for_a_worker_that_restarts(tmp_path: Path) -> None:
    pool = pool_of(folder=str(tmp_path))
    with serving(load=lambda: served(pool)) as server, server.client() as http:
        broken = {"prompt": "die once mark", "size": "64x64"}
        assert http.post(ROUTE, json=broken).status_code == 200
        assert pool.workers()[0].restarts == 1
    states = iter(["ready", "restarting", "restarting"])
    runner = FakeRunner()
    source = RunnerSource(lambda: Served(runner, count_tokens, state=lambda: next(states)))  # type: ignore[arg-type,return-value]
    source.start()
    until(lambda: not source.loading)
    assert source.state == "ready"
    assert source.get().runner is runner
    assert source.state == "restarting"
    source.close()


def test_a_picture_that_breaks_two_workers_is_a_503_that_says_so() -> None:
    with serving(load=lambda: served(pool_of())) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        with pytest.raises(openai.InternalServerError) as caught:
            client.images.generate(prompt="die", size="64x64")  # type: ignore[arg-type]
        assert (caught.value.status_code, caught.value.code) == (503, "worker_failed")
        assert client.images.generate(prompt=PROMPT, size="64x64").data  # type: ignore[arg-type]


def test_a_pool_that_cannot_load_is_told_to_the_command_and_not_to_clients(
    tmp_path: Path,
) -> None:
    failed = threading.Event()
    pool = pool_of(load_fault="refuse", folder=str(tmp_path))
    source = RunnerSource(lambda: served(pool), on_failure=failed.set)
    source.start()
    assert failed.wait(20)
    assert source.state == "failed"
    assert isinstance(source.error, ModelError)
    assert str(source.error) == "the weights are not there; pull them"
    source.close()
    assert pool.state == "closed"


def test_a_runner_that_fails_for_good_is_not_ready() -> None:
    state = "ready"
    runner = FakeRunner(error=WorkerError("it broke at /secret/place"))
    opened = Served(runner, count_tokens, state=lambda: state)  # type: ignore[arg-type,return-value]
    with serving(load=lambda: opened) as server, server.client() as http:
        answer = http.post(ROUTE, json=CALL)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "worker_failed")
        assert "secret" not in answer.text
        state = "failed"
        ready = http.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "failed")
        assert http.post(ROUTE, json=CALL).json()["error"]["code"] == "model_not_ready"


def test_closing_while_it_loads_is_no_failure() -> None:
    pool = pool_of(load_s=60)
    source = RunnerSource(lambda: served(pool))
    source.start()
    until(lambda: pool.workers()[0].state == "loading")
    source.close()
    until(lambda: not source.loading)
    assert source.error is None
    assert source.state == pool.state == "closed"


def test_a_runner_opened_after_the_close_is_closed() -> None:
    may_open = threading.Event()
    runner = FakeRunner()

    def load() -> Served:
        may_open.wait(20)
        return Served(runner, count_tokens)

    source = RunnerSource(load)
    source.start()
    source.close()
    may_open.set()
    until(lambda: not source.loading)
    assert source.error is None
    assert runner._closed
