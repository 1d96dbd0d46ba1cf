"""Steps that are left to the server: fewer under load, never outside what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runner import FakeRunner
from serving import serving, until
from test_server_jobs import API, World, world_of

from mezzotint.server.knobs import Live
from mezzotint.server.settings import Settings
from mezzotint.server.tuning import Tuning
from mezzotint.types import ConfigError

CALL = {"prompt": "a red apple", "width": 64, "height": 64, "seed": 7}
RANGE = {"min": 2, "max": 12}
OPENAI = "/v1/images/generations"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path, FakeRunner(step_s=0.01, slots=1)) as made:
        yield made


def call(world: World, steps: object, **more: Any) -> Any:
    body = {"prompt": "a red apple", "size": "64x64", "steps": steps} | more
    return world.http.post(OPENAI, json=body)


def under_load(world: World) -> None:
    """From here on any wait is far too long."""
    assert world.http.patch(f"{API}/settings", json={"wait_target_s": 0.1}).status_code == 200
    call(world, 3)  # so that the server knows how long a picture takes


def test_an_idle_server_gives_the_most_and_says_what_was_asked(world: World) -> None:
    answer = call(world, RANGE).json()
    assert (answer["steps"], answer["steps_asked"]) == (12, RANGE)
    assert answer["data"][0]["steps_given"] == 12


def test_under_load_pictures_get_the_fewest_steps_and_the_history_says_so(world: World) -> None:
    under_load(world)
    job = world.post(**CALL | {"steps": RANGE, "n": 10})
    assert (job["request"]["steps"], job["request"]["steps_asked"]) == (12, RANGE)
    done = world.wait(job["id"])
    given = [image["request"]["steps"] for image in done["images"]]
    assert done["state"] == "done"
    assert given == [2] * 10
    again = world.job(job["id"])
    assert [image["request"]["steps"] for image in again["images"]] == given


def test_a_request_that_names_its_steps_is_never_touched(world: World) -> None:
    under_load(world)
    jobs = [world.post(**CALL | {"steps": 5, "n": 4}), world.post(**CALL | {"steps": None, "n": 4})]
    for job, steps in zip(jobs, (5, world.running.runner.spec.steps), strict=True):
        done = world.wait(job["id"])
        assert done["request"]["steps_asked"] is None
        assert {image["request"]["steps"] for image in done["images"]} == {steps}
    answer = call(world, 5).json()
    assert answer["steps"] == 5
    assert "steps_asked" not in answer
    assert "steps_given" not in answer["data"][0]


def test_a_stream_says_it_of_each_picture(world: World) -> None:
    answer = call(world, RANGE, stream=True, n=2).text
    assert answer.count('"steps_asked":{"min":2,"max":12}') == 2
    assert answer.count('"steps_given":') == 2


def test_the_file_says_what_was_asked_and_given(world: World) -> None:
    job = world.wait(world.post(**CALL | {"steps": RANGE, "metadata": "full"})["id"])
    data = world.http.get(job["images"][0]["file_url"]).content
    assert b'"asked":{"steps":{"max":12,"min":2}}' in data
    assert b'"steps":12' in data


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ({"min": 0, "max": 8}, "steps"),
        ({"min": 9, "max": 8}, "9 to 8"),
        ({"min": 4, "max": 121}, "121"),
        ({"min": 4}, "steps"),
        ({"min": 4, "max": 8, "mean": 6}, "mean"),
        ({"min": True, "max": 8}, "steps"),
    ],
)
def test_a_wrong_range_is_refused(world: World, steps: object, words: str) -> None:
    for answer in (
        call(world, steps),
        world.http.post(f"{API}/jobs", json=CALL | {"steps": steps}),
    ):
        assert answer.status_code == 400, answer.text
        assert words in answer.text
    assert call(world, RANGE, quality="low").status_code == 400
    assert call(world, RANGE, num_inference_steps=4).status_code == 400


def test_a_preset_may_leave_the_steps_open(world: World) -> None:
    answer = world.http.put(f"{API}/presets/quick look", json={"values": {"steps": RANGE}})
    assert answer.status_code == 200, answer.text
    kept = world.http.get(f"{API}/presets").json()["presets"][-1]
    assert kept["values"]["steps"] == RANGE
    assert (kept["about"]["en"], kept["about"]["zh"]) == ("2 to 12 steps", "2 至 12 步")
    wrong = world.http.put(f"{API}/presets/x", json={"values": {"steps": {"min": 9, "max": 8}}})
    assert wrong.status_code == 400


def test_a_range_set_by_the_operator_is_given_to_whoever_names_no_steps(world: World) -> None:
    world.http.patch(f"{API}/settings", json={"steps_range": "2-12"}).raise_for_status()
    under_load(world)
    answer = call(world, None).json()
    assert answer["steps_asked"] == RANGE
    assert answer["data"][0]["steps_given"] == answer["steps"]
    job = world.wait(world.post(**CALL | {"steps": None, "n": 4, "metadata": "full"})["id"])
    assert (job["request"]["steps"], job["request"]["steps_asked"]) == (12, RANGE)
    assert {image["request"]["steps"] for image in job["images"]} == {2}
    data = world.http.get(job["images"][0]["file_url"]).content
    assert b'"asked":{"steps":{"max":12,"min":2}}' in data
    defaults = world.http.get(f"{API}/capabilities").json()["defaults"]
    assert defaults["steps_range"] == RANGE
    world.http.patch(f"{API}/settings", json={"steps_range": "off"}).raise_for_status()
    assert "steps_asked" not in call(world, None).json()
    assert world.http.get(f"{API}/capabilities").json()["defaults"]["steps_range"] is None


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        ({"steps": 5}, 5),
        ({"num_inference_steps": 5}, 5),
        ({"quality": "high"}, 20),
        ({"preset": "quick"}, 8),
    ],
    ids=str,
)
def test_it_changes_nothing_for_whoever_names_steps(
    world: World, more: dict[str, Any], steps: int
) -> None:
    world.http.patch(f"{API}/settings", json={"steps_range": "2-3"}).raise_for_status()
    answer = call(world, **{"steps": None} | more).json()
    assert answer["steps"] == steps
    assert "steps_asked" not in answer


def test_a_range_beyond_the_model_stops_the_start() -> None:
    settings = Settings(steps_range="4-121")
    with serving(FakeRunner(), settings, wait=False) as running, running.client() as http:
        until(lambda: http.get("/ready").json()["status"] == "failed")
    with pytest.raises(ConfigError, match=r"4-121 goes beyond the 120 steps.*--steps-range off"):
        Tuning(Live(steps_range="4-121"), None).fit(120)


def test_clients_are_told_that_they_may(world: World) -> None:
    features = world.http.get(f"{API}/capabilities").json()["features"]
    assert features["adaptive_steps"] is True
