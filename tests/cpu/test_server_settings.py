"""Settings that an admin changes: what may, what counts, what holds after a restart."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_runner import FakeRunner
from serving import serving, until
from test_server_images import World

from mezzotint.config import make
from mezzotint.images.file import read
from mezzotint.jobs import images
from mezzotint.jobs import settings as stored_settings
from mezzotint.jobs.retention import Rules
from mezzotint.server.housekeeping import Housekeeper, rules_of
from mezzotint.server.knobs import KNOBS, Live
from mezzotint.server.settings import Settings
from mezzotint.server.tuning import Tuning, for_next_start, start_values
from mezzotint.types import Recipe, RequestError

SETTINGS = "/api/v1/settings"
CALL = {"prompt": "a red apple", "size": "64x64", "steps": 1}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.http:
        until(lambda: made.http.get("/ready").status_code == 200)
        yield made
    made.ring.close()


def shown(world: World, name: str) -> dict[str, object]:
    found = world.http.get(SETTINGS).json()["settings"]
    return next(setting for setting in found if setting["name"] == name)


def test_every_setting_says_what_it_is(world: World) -> None:
    found = world.http.get(SETTINGS).json()["settings"]
    assert [setting["name"] for setting in found] == [knob.name for knob in KNOBS]
    for setting in found:
        assert setting["value"] == setting["active"] == setting["default"]
        assert setting["about"]["en"].isascii()
        assert re.search("[\u4e00-\u9fff]", setting["about"]["zh"])
        numeric = setting["kind"] in ("integer", "number", "range")
        assert numeric == (setting["min"] is not None)
        assert (setting["kind"] == "choice") == bool(setting["choices"])


def test_defaults_are_within_their_own_bounds() -> None:
    for knob in KNOBS:
        assert knob.check(knob.default) == knob.default


def test_the_queue_is_bounded_as_it_was_last_said(world: World) -> None:
    assert world.http.patch(SETTINGS, json={"max_queue": 2}).status_code == 200
    refused = world.http.post("/v1/images/generations", json=CALL | {"n": 3})
    assert "more than this server's queue has room for, 2" in refused.json()["error"]["message"]
    world.http.patch(SETTINGS, json={"max_queue": 3})
    assert world.http.post("/v1/images/generations", json=CALL | {"n": 3}).status_code == 200


def test_files_say_as_much_as_was_last_said(world: World) -> None:
    def made() -> bytes:
        accept = {"Accept": "image/png"}
        return world.http.post("/v1/images/generations", json=CALL, headers=accept).content

    with pytest.raises(RequestError):
        read(made())
    world.http.patch(SETTINGS, json={"metadata": "full"})
    assert read(made())[0].prompt == "a red apple"
    world.http.patch(SETTINGS, json={"metadata": "none"})
    assert b"AIGC" not in made()


def test_links_lose_their_pictures_when_there_is_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noise(recipe: Recipe) -> np.ndarray:  # 192 KiB, which no file makes smaller
        shape = (recipe.height, recipe.width, 3)
        return np.random.default_rng(recipe.seed).integers(0, 256, shape, np.uint8)

    def alive() -> list[bool]:
        data = world.http.post("/v1/images/generations", json=call).json()["data"]
        return [world.http.get(picture["url"]).status_code == 200 for picture in data]

    monkeypatch.setattr(world.runner, "_draw", noise)
    call = CALL | {"response_format": "url", "size": "256x256", "n": 8}
    assert alive() == [True] * 8
    assert world.http.patch(SETTINGS, json={"results_mib": 1}).status_code == 200
    assert alive() == [False] * 3 + [True] * 5


def test_old_pictures_go_when_a_rule_says_so(world: World) -> None:
    for seed in (1, 2, 3):
        world.add("a red apple", seed=seed)
    world.http.patch(SETTINGS, json={"keep_pictures": 2})
    until(lambda: len(world.http.get("/api/v1/images").json()["data"]) == 2)
    kept = world.http.get("/api/v1/images").json()["data"]
    assert [picture["seed"] for picture in kept] == [3, 2]


def test_rules_are_zero_for_none() -> None:
    assert rules_of(Live()) == Rules()
    live = Live(keep_pictures=5, keep_days=0.5, keep_gib=1.5)
    assert rules_of(live) == Rules(max_count=5, max_age_s=43_200, max_bytes=3 * 2**29)


def test_a_sweep_that_fails_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add("a red apple", seed=1)
    world.add("a red apple", seed=2)
    world.files.outputs.rename(world.files.outputs.with_name("away"))
    world.files.outputs.write_text("no folder")
    tuning = Tuning(Live(keep_pictures=1), None)
    keeper = Housekeeper(world.gallery, tuning, every_s=0.01)
    keeper.start()
    try:
        time.sleep(0.1)
        assert world.gallery.database.read(images.unstarred)
        world.files.outputs.unlink()
        world.files.outputs.with_name("away").rename(world.files.outputs)
        until(lambda: len(list(world.gallery.database.read(images.unstarred))) == 1)
    finally:
        keeper.close()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_queue": 0},
        {"max_queue": 10_001},
        {"max_queue": 1.5},
        {"max_queue": True},
        {"max_queue": "5"},
        {"max_queue": None},
        {"max_queue": [5]},
        {"max_queue": 10**400},
        {"x" * 65: 1},
        {"keep_days": -1},
        {"keep_days": 1e9},
        {"metadata": "all"},
        {"producer": ""},
        {"producer": "a\nb"},
        {"producer": "x" * 201},
        {"steps_range": "on"},
        {"steps_range": "9-8"},
        {"steps_range": "0-8"},
        {"steps_range": "4-1001"},
        {"steps_range": "4-121"},  # the model takes 120
        {"steps_range": 4},
        {"api_key": "k"},
        {"allowed_hosts": "evil.example"},
        {"max_queue": 5, "keep_gib": -1},
    ],
)
def test_what_may_not_be_changed(world: World, changes: dict[str, object]) -> None:
    answer = world.http.patch(SETTINGS, json=changes)
    assert answer.status_code == 400, answer.text
    assert shown(world, "max_queue")["value"] == 64


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("producer", "x" * 201, "a printable text of 1 to 200 characters"),
        ("max_queue", "5", "a whole number from 1 to 10000"),
        ("keep_days", True, "a number from 0 to 36500"),
    ],
)
def test_a_wrong_value_is_told_what_its_setting_takes(
    world: World, name: str, value: object, wanted: str
) -> None:
    error = world.http.patch(SETTINGS, json={name: value}).json()["error"]
    assert (error["message"], error["param"]) == (f"{name} must be {wanted}", name)


def test_changes_hold_after_a_restart(world: World) -> None:
    database = world.gallery.database
    world.http.patch(SETTINGS, json={"keep_days": 30, "producer": "公司", "max_queue": 9})
    assert (shown(world, "producer")["value"], shown(world, "producer")["active"]) == (
        "公司",
        "mezzotint",
    )
    again = Tuning(Live(), database)
    assert again.now == Live(keep_days=30.0, max_queue=9)
    assert for_next_start(database) == {"producer": "公司"}
    database.write(stored_settings.put, "max_queue", -1, 1)  # as if another version wrote it
    database.write(stored_settings.put, "colour", "red", 1)
    assert Tuning(Live(), database).now == Live(keep_days=30.0)


def test_what_the_start_gave_cannot_be_changed(world: World) -> None:
    tuning = Tuning(
        Live(max_queue=5),
        world.gallery.database,
        fixed=frozenset({"max_queue", "producer"}),
        running=start_values(make(producer="P")),
    )
    with pytest.raises(RequestError, match="when the server was started"):
        tuning.change({"max_queue": 6})
    tuning.change({"keep_days": 1})
    assert tuning.now == Live(max_queue=5, keep_days=1.0)
    producer = next(knob for knob in KNOBS if knob.name == "producer")
    assert (tuning.chosen(producer), tuning.active(producer)) == ("P", "P")


def test_without_a_history_there_are_no_settings() -> None:
    with serving(FakeRunner(), Settings()) as server, server.client() as http:
        assert http.get(SETTINGS).status_code == 404
