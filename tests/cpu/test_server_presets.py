"""What the server says of its model, and the presets of model and caller."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from fake_runner import SPEC, FakeRunner, count_tokens
from fastapi.testclient import TestClient
from serving import serving, until
from test_server_images import ADMIN, World
from test_server_metrics import FakeNvml

from mezzotint.config import Config
from mezzotint.engine.plan import Budget, Largest, Wanted, make_plan
from mezzotint.models.find import describe_random_weights
from mezzotint.models.load import random_footprints
from mezzotint.models.locate import BUNDLED
from mezzotint.models.zimage.describe import spec_of
from mezzotint.models.zimage.weights import open_checkpoint
from mezzotint.server.capabilities import describe
from mezzotint.server.gpus import Gpus
from mezzotint.server.source import Served
from mezzotint.types import RequestError

PRESETS = "/api/v1/presets"
TURBO = describe_random_weights("z-image-turbo")
WANTED = Wanted(
    precision="bf16", slots=8, graphs=True, rows_on_host=True, shared_pixels=True, fixed=256 * 2**20
)
VALUES = {"width": 128, "height": 64, "steps": 9, "guidance": 1.5, "negative_prompt": "雨", "n": 3}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.http:  # starts its runner
        until(lambda: made.http.get("/ready").status_code == 200)
        yield made
    made.ring.close()


def test_capabilities_are_the_models(world: World) -> None:
    said = world.http.get("/api/v1/capabilities").json()
    assert said["model"] == {
        "name": "fake",
        "title": "fake",
        "family": "fake",
        "bundled": False,
        "precision": "fp32",
        "licence": None,
    }
    assert said["device"] == {"kind": "cpu", "name": "cpu", "gpus": []}
    assert said["sizes"] == [{"width": 128, "height": 128, "ratio": "1:1"}]
    limits = said["limits"]
    assert (limits["max_side"], limits["multiple"], limits["steps"]["max"]) == (256, 16, 120)
    assert said["defaults"]["steps"] == SPEC.steps
    assert said["prompts"] == []
    assert said["features"]["history"]


def test_capabilities_of_the_bundled_model() -> None:
    runner = FakeRunner(spec=spec_of(open_checkpoint(BUNDLED, Config().variant)))
    served = Served(runner, count_tokens, bundled=True)
    said = describe(served, runner.largest, Gpus(), history=False)
    assert said.model.bundled
    assert said.model.licence == "Apache-2.0"
    assert [size.ratio for size in said.sizes] == ["1:1", "3:2", "2:3", "11:6", "6:11"]
    assert len(said.prompts) == 716
    assert ("apple", "苹果") in {(prompt.en, prompt.zh) for prompt in said.prompts}
    assert not said.features.negative_prompt


def test_no_size_is_offered_that_memory_is_too_small_for() -> None:
    offered: list[list[tuple[int, int]]] = []
    for gibibytes in (19, 19.25, 19.5, 22, 40):
        budget = Budget(num_bytes=int(gibibytes * 2**30), asked=True)
        plan = make_plan(TURBO, random_footprints(("bf16",)), budget, WANTED)
        runner = FakeRunner(spec=TURBO, largest=plan.largest)
        said = describe(Served(runner, count_tokens), runner.largest, Gpus(), history=False)
        offered.append([(size.width, size.height) for size in said.sizes])
        for size in TURBO.sizes:
            with nullcontext() if size in offered[-1] else pytest.raises(RequestError):
                plan.check(*size, guided=False)
        assert said.limits.max_pixels == plan.largest.plain
        assert said.limits.max_guided_pixels == plan.largest.guided <= said.limits.max_pixels
    assert offered[0] == [(512, 512)]
    assert offered[-1] == list(TURBO.sizes)


def test_capabilities_wait_for_the_model() -> None:
    go_on = threading.Event()

    def load() -> Served:
        go_on.wait(20)
        return Served(FakeRunner(), count_tokens)

    with serving(load=load, wait=False) as server, server.client() as http:
        answer = http.get("/api/v1/capabilities")
        go_on.set()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
    assert answer.headers["retry-after"]


def test_gpus_are_those_that_the_server_may_use() -> None:
    class Nvml(FakeNvml):
        def nvmlDeviceGetName(self, device: int) -> bytes | str:  # noqa: N802
            return f"GPU {device}".encode() if device else f"GPU {device}"

    everything = Gpus(Nvml(), visible="").cards()
    assert [(card.index, card.name) for card in everything] == [(0, "GPU 0")]
    assert everything[0].memory_bytes > 0
    assert Gpus(visible="").cards() == ()


def test_the_models_presets_come_first(world: World) -> None:
    found = world.http.get(PRESETS).json()["presets"]
    assert [preset["name"] for preset in found] == ["quick", "fine"]
    assert found[1]["title"] == {"en": "Fine", "zh": "精细"}
    assert found[1]["about"]["en"] == "128 × 128 px, 50 steps, guidance 1.5"
    assert found[1]["about"]["zh"] == "128 × 128 像素，50 步，引导 1.5"
    assert found[1]["builtin"]
    assert found[0]["values"]["guidance"] == 0.0


def test_the_four_scenes_of_the_real_models() -> None:
    spec = spec_of(open_checkpoint(BUNDLED, None))
    scenes = [preset.zh for preset in spec.presets]
    assert scenes == ["快速预览", "日常创作", "高保真输出", "批量生产"]


def test_keeping_replacing_and_deleting(world: World) -> None:
    kept = world.http.put(f"{PRESETS}/夜景 1", json={"values": VALUES})
    assert kept.status_code == 200
    assert kept.json()["values"] == VALUES | {"seed": None, "format": None}
    assert kept.json()["about"]["en"] == "128 × 64 px, 9 steps, guidance 1.5, 3 pictures"
    world.http.put(f"{PRESETS}/夜景 1", json={"values": {"steps": 1, "seed": 5}})
    listed = world.http.get(PRESETS).json()["presets"]
    assert [preset["name"] for preset in listed] == ["quick", "fine", "夜景 1"]
    assert listed[2]["about"]["zh"] == "1 步，种子 5"
    assert world.http.delete(f"{PRESETS}/夜景 1").status_code == 204
    assert world.http.delete(f"{PRESETS}/夜景 1").status_code == 404
    assert world.http.delete(f"{PRESETS}/quick").status_code == 404


def test_presets_are_their_keys_own(world: World) -> None:
    world.http.put(f"{PRESETS}/mine", json={"values": {"steps": 1}})
    names = [p["name"] for p in world.http.get(PRESETS, headers=world.user).json()["presets"]]
    assert names == ["quick", "fine"]
    assert world.http.delete(f"{PRESETS}/mine", headers=world.user).status_code == 404
    assert TestClient(world.app).get(PRESETS).status_code == 401


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("quick", {"steps": 1}),
        ("快速", {"steps": 1}),
        ("x" * 101, {"steps": 1}),
        ("a%07b", {"steps": 1}),
        (" ", {"steps": 1}),
        ("ok", {"steps": 121}),
        ("ok", {"width": 128}),
        ("ok", {"width": 100, "height": 128}),
        ("ok", {"guidance": 0.0, "negative_prompt": "rain"}),
        ("ok", {"guidance": "1"}),
        ("ok", {"colour": "red"}),
        ("ok", {"format": "gif"}),
        ("ok", {"n": 11}),
    ],
)
def test_presets_that_no_request_could_use(
    world: World, name: str, values: dict[str, object]
) -> None:
    answer = world.http.put(f"{PRESETS}/{name}", json={"values": values})
    assert answer.status_code == 400, answer.text
    assert len(world.http.get(PRESETS).json()["presets"]) == 2


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (2000, "values.steps: Input should be less than or equal to 1000"),
        ({"min": 4}, "values.steps.max: Field required"),
        ({"min": 4, "max": 5, "mid": 4}, "values.steps.mid is no field of this call"),
    ],
)
def test_errors_name_the_field_itself(world: World, steps: object, message: str) -> None:
    answer = world.http.put(f"{PRESETS}/ok", json={"values": {"steps": steps}})
    error = answer.json()["error"]
    assert error["message"].startswith(message)
    assert error["param"] == "values"
    assert error["code"] != "missing_parameter"


def test_without_a_history_there_are_the_models_alone() -> None:
    with serving() as server, server.client() as http:
        assert len(http.get(PRESETS).json()["presets"]) == 2
        body = json.dumps({"values": {}})
        answer = http.put(f"{PRESETS}/x", content=body, headers=ADMIN)
        assert answer.status_code in (404, 405)


def test_what_memory_is_too_small_for_is_refused_at_the_door(tmp_path: Path) -> None:
    world = World(tmp_path, FakeRunner(largest=Largest(128 * 128, 64 * 64)))
    with world.http:
        until(lambda: world.http.get("/ready").status_code == 200)
        for guidance, side, most in ((0.0, 144, 128), (1.5, 80, 64)):
            job = {"prompt": "a", "width": side, "height": side, "guidance": guidance}
            call = {"prompt": "a", "size": f"{side}x{side}", "guidance_scale": guidance}
            for path, body in (("/api/v1/jobs", job), ("/v1/images/generations", call)):
                answer = world.http.post(path, json=body)
                assert answer.status_code == 400
                said = answer.json()["error"]["message"]
                assert said.startswith(f"{side}x{side} is {side**2} pixels and there is memory for")
                assert f"{most**2}{' with guidance' if guidance else ''}; ask for" in said
            allowed = {"width": most, "height": most, "steps": 1}
            assert world.http.post("/api/v1/jobs", json=job | allowed).status_code == 202
    world.ring.close()
