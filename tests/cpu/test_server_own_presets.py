"""A caller's own presets, named in a call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import until
from test_server_images import World

from mezzotint.jobs import presets
from mezzotint.jobs.presets import Choices
from mezzotint.jobs.store import LOCAL
from mezzotint.types import StepRange

JOBS, GENERATIONS = "/api/v1/jobs", "/v1/images/generations"
VALUES = {
    "negative_prompt": "雨",
    "width": 128,
    "height": 64,
    "steps": 9,
    "guidance": 2.5,
    "seed": 5,
    "n": 3,
    "format": "webp",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.http:
        until(lambda: made.http.get("/ready").status_code == 200)
        assert made.http.put("/api/v1/presets/夜景", json={"values": VALUES}).status_code == 200
        yield made
    made.ring.close()


def job(world: World, **call: Any) -> dict[str, Any]:
    answer = world.http.post(JOBS, json={"prompt": "a cat", "preset": "夜景"} | call)
    assert answer.status_code == 202, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_a_job_takes_what_its_callers_preset_decides(world: World) -> None:
    made = job(world)
    decided = {name: made["request"][name] for name in VALUES}
    assert decided == VALUES
    assert made["request"]["preset"] == "夜景"
    world.http.delete("/api/v1/presets/夜景")  # the job has it all
    until(lambda: world.http.get(f"{JOBS}/{made['id']}").json()["state"] == "done")
    images = world.http.get(f"{JOBS}/{made['id']}").json()["images"]
    assert [(i["seed"], i["width"], i["height"], i["format"]) for i in images] == [
        (seed, 128, 64, "webp") for seed in (5, 6, 7)
    ]
    assert images[0]["request"]["preset"] == "夜景"
    assert {(r.steps, r.guidance, r.negative_prompt) for r in world.runner.seen} == {(9, 2.5, "雨")}


@pytest.mark.parametrize(
    "said",
    [
        {"width": 64, "height": 96},
        {"steps": 2, "seed": 8},
        {"steps": {"min": 2, "max": 4}},
        {"guidance": 0.0, "negative_prompt": ""},
        {"n": 1, "format": "png"},
    ],
)
def test_what_a_job_says_itself_goes_first(world: World, said: dict[str, Any]) -> None:
    request = job(world, **said)["request"]
    if isinstance(said.get("steps"), dict):
        assert request["steps_asked"] == said["steps"]
        said = {"steps": 4}
    assert {name: request[name] for name in VALUES} == VALUES | said


def test_half_a_size_is_no_size(world: World) -> None:
    answer = world.http.post(JOBS, json={"prompt": "a cat", "preset": "夜景", "width": 64})
    assert answer.status_code == 400
    assert "give both sides" in answer.text


def test_a_preset_may_leave_all_open_and_steps_to_the_server(world: World) -> None:
    database = world.gallery.database
    for name, choices in (("none", Choices()), ("range", Choices(steps=StepRange(2, 6)))):
        database.write(presets.save, LOCAL, name, choices, id=name, now_us=1)
    plain = job(world, preset=None, seed=3)["request"]
    assert job(world, preset="none", seed=3)["request"] == plain | {"preset": "none"}
    assert job(world, preset="range")["request"]["steps_asked"] == {"min": 2, "max": 6}


def test_ones_own_goes_before_the_models_and_nobody_has_anothers(world: World) -> None:
    database = world.gallery.database
    assert job(world, preset="quick")["request"]["steps"] == 8
    # Not to be had over HTTP: another model, served later, may have a name that was free.
    database.write(presets.save, LOCAL, "quick", Choices(steps=3), id="q", now_us=1)
    assert job(world, preset="quick")["request"]["steps"] == 3
    for path in (JOBS, GENERATIONS):
        call = {"prompt": "a cat", "preset": "夜景"}
        answer = world.http.post(path, json=call, headers=world.user)
        assert answer.status_code == 400
        assert "preset '夜景' is unknown" in answer.json()["error"]["message"]
    call = {"prompt": "a cat", "preset": "quick"}
    answer = world.http.post(JOBS, json=call, headers=world.user)
    assert answer.json()["request"]["steps"] == 8


def test_a_generation_takes_it_too(world: World) -> None:
    def generate(**call: Any) -> dict[str, Any]:
        answer = world.http.post(GENERATIONS, json={"prompt": "a cat", "preset": "夜景"} | call)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    said = generate()
    assert (said["size"], said["steps"], said["output_format"]) == ("128x64", 9, "webp")
    assert ([each["seed"] for each in said["data"]], said["quality"]) == ([5, 6, 7], "high")
    recipe = world.runner.seen[-1]
    assert (recipe.guidance, recipe.negative_prompt) == (2.5, "雨")
    said = generate(size="64x64", n=1, seed=1, output_format="png", cfg_scale=2.0, steps=4)
    assert (said["size"], said["steps"], said["output_format"]) == ("64x64", 4, "png")
    assert [each["seed"] for each in said["data"]] == [1]
    assert world.runner.seen[-1].guidance == 1.0
    low = generate(quality="low", n=1)
    assert (low["steps"], low["quality"]) == (4, "low")  # half of the preset's 9


def test_an_answer_that_is_one_file_is_one_picture(world: World) -> None:
    call = {"prompt": "a cat", "preset": "夜景"}
    answer = world.http.post(GENERATIONS, json=call, headers={"Accept": "image/png"})
    assert (answer.headers["content-type"], answer.headers["x-seed"]) == ("image/png", "5")
    task = {"inputs": "a cat", "parameters": {"preset": "夜景", "seed": 9}}
    answer = world.http.post("/models/fake", json=task)
    assert (answer.headers["content-type"], answer.headers["x-seed"]) == ("image/webp", "9")
    assert [recipe.seed for recipe in world.runner.seen] == [5, 9]
