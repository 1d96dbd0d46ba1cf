"""The bench on the CPU at a tiny size: every system draws the same picture, failures are rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench import pictures
from bench.pictures import Setup, finish, line, system_rows
from bench.probes import new_size
from bench.probes.busy import covered, idle_fraction
from bench.probes.recording import recording
from bench.rivals.diffusers import EAGER
from bench.rivals.weights import SharedWeights, Sizes, fill
from bench.workload import WORKLOADS
from mezzotint.engine.graphs import GraphTally
from mezzotint.measure import timing
from mezzotint.measure.workload import Workload, prompt, request_of
from mezzotint.models.find import describe_random_weights
from mezzotint.models.recipe import resolve
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.qwen3_config import Qwen3Config
from mezzotint.models.zimage import describe, random_weights
from mezzotint.models.zimage.config import TransformerConfig

SIZES = Sizes(
    TransformerConfig(dim=256, num_layers=2, num_heads=2, caption_width=64),
    Qwen3Config(
        vocab_size=3072,
        hidden_size=64,
        num_layers=3,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        intermediate_size=128,
    ),
    AutoencoderConfig(block_out_channels=(32, 32, 64, 64), layers_per_block=1, norm_num_groups=16),
)
CPU = torch.device("cpu")
WANTED = ("512px-8", "512px-8-x4")


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Setup:
    monkeypatch.setattr(timing, "REST_S", 0.0)
    monkeypatch.setattr(timing, "WARMUPS", 1)
    monkeypatch.setattr(new_size, "REST_S", 0.0)
    monkeypatch.setattr(new_size, "WARM", 1)
    monkeypatch.setattr(new_size, "USUAL", ((96, 96),))
    monkeypatch.setitem(new_size.SIZES, "new-size-512px", ((96, 112),))
    monkeypatch.setattr(describe, "TransformerConfig", lambda: SIZES.transformer)
    monkeypatch.setattr(random_weights, "TransformerConfig", lambda: SIZES.transformer)
    monkeypatch.setattr(random_weights, "Qwen3Config", lambda: SIZES.text_encoder)
    monkeypatch.setattr(random_weights, "AutoencoderConfig", lambda: SIZES.autoencoder)
    monkeypatch.setitem(pictures.ENGINES, "mezzotint", {"precision": "fp32"})
    workloads = tuple(
        replace(w, width=96, height=96, steps=2, repeats=1, warm_steps=1)
        for w in WORKLOADS
        if w.name in WANTED
    )
    return Setup(CPU, torch.float32, SIZES, workloads, new_size_steps=1)


def test_engine_and_diffusers_draw_the_same(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "SEEN_PRECISION", "fp32")
    seen: pictures.Pictures = {}
    wanted = (*WANTED, "new-size-512px")
    ours = list(system_rows("mezzotint", wanted, setup, seen))
    theirs = list(system_rows("diffusers", wanted, setup, seen))
    assert [row["workload"] for row in ours] == list(wanted)
    assert [(row["workload"], row["batch"]) for row in theirs] == [
        ("512px-8", 1),
        ("512px-8-x4", 4),
    ]
    assert not [row for row in (*ours, *theirs) if "error" in row]
    assert theirs[0]["same_picture_db"] > 60  # the same weights, prompt, noise and arithmetic
    for row in (*ours[:2], *theirs):
        done = finish(row, {"bf16": 1e12}, setup)
        assert 0 < done["to_picture_ms"] <= done["ms"]
        assert done["images_per_s"] == pytest.approx(
            (4 if done["workload"].endswith("x4") else 1) / done["ms"] * 1e3
        )
        assert done["fraction_of_limit"] == pytest.approx(done["tflop"] * 1e3 / done["ms"])
        assert done["workload"] in line(done)
    assert all(0.3 < row["engine_busy"] <= 1 for row in ours[:2])
    assert {"encode", "denoise", "decode", "file"} <= ours[0]["stage_ms"].keys()
    assert ours[2]["ratio"] == pytest.approx(ours[2]["ms"] / ours[2]["warm_ms"])


def test_what_fails_is_a_row(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pictures.ENGINES, "broken", {"precision": "fp7"})
    broken = list(system_rows("broken", ["512px-8", "forward-1024px"], setup, {}))
    assert [row["workload"] for row in broken] == ["512px-8", "forward-1024px"]
    assert all("fp7" in row["error"] for row in broken)

    def no_memory(weights: SharedWeights) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory\nand more lines")

    rival = replace(EAGER, build=no_memory)  # type: ignore[arg-type]
    monkeypatch.setitem(pictures.RIVALS, "diffusers", rival)
    (row,) = system_rows("diffusers", ["512px-8"], setup, {})
    assert row["error"] == "OutOfMemoryError: CUDA out of memory"
    assert "FAILED" in line(finish(row, {}, setup))

    def cannot(prompts: object, workload: Workload) -> object:
        raise RuntimeError("recompile limit" if workload.at_once > 1 else "")

    monkeypatch.setitem(
        pictures.RIVALS,
        "diffusers",
        replace(EAGER, build=lambda _: cannot),  # type: ignore[arg-type, return-value]
    )
    rows = list(system_rows("diffusers", WANTED, setup, {}))
    assert [row["error"] for row in rows] == [
        "RuntimeError: no message",
        "RuntimeError: recompile limit",
    ]


def test_a_rival_that_is_not_installed_is_a_row(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = replace(EAGER, packages=("no-such-package",))
    monkeypatch.setitem(pictures.RIVALS, "diffusers", rival)
    (row,) = system_rows("diffusers", ["512px-8"], setup, {})
    assert "no-such-package" in row["error"]


def test_weights_that_do_not_fit_are_refused() -> None:
    module = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="lacks"):
        fill(module, {"weight": torch.zeros(2, 2)}, ())
    with pytest.raises(ValueError, match="does not know"):
        fill(module, {"weight": torch.zeros(2, 2), "gain": torch.ones(2)}, ("bias",))


def test_batches_worth_trying() -> None:
    assert EAGER.batches_of(1) == (1,)
    assert EAGER.batches_of(2) == (2,)
    assert EAGER.batches_of(8) == (8,)
    assert EAGER.batches_of(16) == (4, 8, 16)
    assert replace(EAGER, batches=()).batches_of(16) == (1,)


def test_prompts_differ_and_are_of_one_length() -> None:
    texts = [prompt(number) for number in range(2000)]
    assert len(set(texts)) == 2000
    assert len({len(text) for text in texts}) == 1


def test_idle_time_is_what_no_kernel_covers() -> None:
    assert idle_fraction([(0, 4), (2, 5), (6, 10)]) == pytest.approx(0.1)
    assert idle_fraction([(6, 10), (0, 10), (2, 3)]) == 0
    assert idle_fraction([]) == 1
    assert covered([(5, 6), (0, 2), (1, 3)]) == 4


def test_an_engine_s_replays_can_be_watched() -> None:
    with recording() as recorded:
        replays = GraphTally(2**31).make, GraphTally(2**31).make, GraphTally(2**31).make
        made = [make() for make in replays]
    made[1]("key", torch.neg, torch.ones(2))
    call = recorded["denoise"].last
    assert call is not None
    assert call.function(*call.inputs).tolist() == [-1, -1]
    assert recorded["encode"].last is None


def test_the_real_model_takes_every_size_that_is_measured() -> None:
    spec = describe_random_weights("z-image-turbo")
    new = [
        Workload(name, width, height, 8, 0.0)
        for name, sizes in new_size.SIZES.items()
        for width, height in sizes
    ]
    for workload in (*WORKLOADS, *new):
        recipe = resolve(request_of(prompt(0), workload), spec)
        assert (recipe.width, recipe.height) == (workload.width, workload.height)
        assert recipe.steps == workload.steps
