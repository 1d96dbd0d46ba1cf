"""From a configuration to a memory plan, on machines of every size."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mezzotint import Engine, Request
from mezzotint.config import format_bytes, make, parse_bytes
from mezzotint.engine import build
from mezzotint.engine.build import find_budget, plan_memory
from mezzotint.engine.device import Device, choose_device
from mezzotint.engine.free_memory import host_free_bytes
from mezzotint.models.load import footprints
from mezzotint.models.zimage.weights import open_checkpoint
from mezzotint.types import ConfigError, RequestError, ResourceError

GIB, MIB = 2**30, 2**20


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("12GiB", 12 * GIB), ("800 MB", 800_000_000), ("1.5gib", 3 * GIB // 2), ("7B", 7)],
)
def test_sizes_are_read(text: str, num_bytes: int) -> None:
    assert parse_bytes(text) == num_bytes
    assert parse_bytes(format_bytes(num_bytes)) == num_bytes


@pytest.mark.parametrize("text", ["12", "GiB", "12 pounds", "-1GiB", "1e3GiB", "", "9" * 400 + "B"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"memory = .* such as 12GiB or 800MB"):
        make(memory=text)


def test_the_setting_survives_the_way_to_a_worker() -> None:
    config = make(memory="12.5GiB")
    assert config.memory == 25 * GIB // 2
    assert config.model_dump()["memory"] == "12800MiB"
    assert type(config).model_validate_json(config.model_dump_json()) == config


def test_an_engine_keeps_to_its_budget(bundled: Path) -> None:
    with Engine(device="cpu") as engine:
        everything = engine.memory
    assert everything.slots == engine.config.slots
    work = everything.footprint.work
    short_by = work(192 * 192, False) - work(160 * 160, False)
    least = everything.weights + 64 * MIB + work(192 * 192, False)
    with Engine(device="cpu", memory=least - short_by + 4 * MIB, slots=1) as engine:
        with pytest.raises(RequestError, match=r"192x192 takes .* largest square that fits is 1"):
            engine.submit(Request(prompt="a red apple", width=192, height=192))
        ticket = engine.submit(Request(prompt="a red apple", seed=1, steps=1))
        assert ticket.result(120).pixels.shape == (128, 128, 3)


def test_a_budget_below_the_weights_is_refused_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build, "load", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(ResourceError, match=r"in fp32 needs \d+ MiB .*--memory is 20 MiB"):
        Engine(device="cpu", memory="20MiB")


def test_the_bundled_footprint_is_what_its_networks_hold(bundled: Path) -> None:
    expected = {}
    for precision in ("fp32", "bf16", "fp8"):
        with Engine(device="cpu", precision=precision) as engine:
            expected[precision] = engine._model.weights_bytes
    found = footprints(bundled, None, ("fp32", "bf16", "fp8"))
    assert {p: f.weights + f.text_rows for p, f in found.items()} == expected
    rows = open_checkpoint(bundled).text_encoder
    assert found["bf16"].text_rows == 2 * rows.vocab_size * rows.hidden_size


def test_running_out_while_loading_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")

    monkeypatch.setattr(build, "load", out_of_memory)
    with pytest.raises(ResourceError, match="ran out while the model was loaded") as failed:
        Engine(device="cpu")
    assert "\n" not in str(failed.value)
    assert failed.value.__context__ is None


def test_a_gpu_with_too_little_memory_names_the_precision_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make(random_weights="z-image-turbo")
    place = _gpu(monkeypatch, capability=(9, 0), free=16 * GIB)
    with pytest.raises(ResourceError, match=r"15\.5 GiB are free for it; use --precision fp8"):
        plan_memory(config, place)
    place = _gpu(monkeypatch, capability=(8, 6), free=16 * GIB)  # bf16 and no fp8
    with pytest.raises(ResourceError, match=r"give it 19\.\d GiB, or take a device with more"):
        plan_memory(config, place)
    made = plan_memory(config, _gpu(monkeypatch, capability=(8, 6), free=24 * GIB))
    assert made.rows_on_host
    assert made.slots == 8
    assert made.budget.num_bytes == 24 * GIB - 512 * MIB


def test_more_memory_than_is_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    place = _gpu(monkeypatch, capability=(9, 0), free=16 * GIB)
    with pytest.raises(ResourceError, match=r"--memory is 20.0 GiB and 16.0 GiB are free on Fake"):
        find_budget(20 * GIB, place)
    budget = find_budget(12 * GIB, place)
    assert (budget.num_bytes, budget.asked) == (12 * GIB, True)


@pytest.mark.parametrize(
    ("capability", "precision", "words"),
    [
        ((8, 6), "fp8", ["Fake GPU", "8.6", "has no fp8", "8.9", "--precision bf16"]),
        ((7, 5), "bf16", ["Fake GPU", "7.5", "has no bf16", "8.0", "--precision fp32"]),
        ((7, 5), "auto", ["has no bf16", "--precision fp32"]),
    ],
)
def test_an_old_gpu_is_told_what_it_can_do(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], precision: str, words: list[str]
) -> None:
    _gpu(monkeypatch, capability=capability, free=GIB)
    with pytest.raises(ResourceError) as refused:
        choose_device(make(device="cuda", precision=precision))
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_host_memory_is_what_can_be_had_within_the_containers_limit(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n")
    assert host_free_bytes(meminfo, tmp_path) == 8_000_000 * 1024
    (tmp_path / "memory.max").write_text(f"{4 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {GIB}\ninactive_file {GIB}\n")
    assert host_free_bytes(meminfo, tmp_path) == 2 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    assert host_free_bytes(meminfo, tmp_path) == 8_000_000 * 1024
    assert host_free_bytes(tmp_path / "none", tmp_path / "none") > 0


def _gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], free: int) -> Device:
    """A GPU that is not there; the plan asks these and nothing else."""
    fakes = {
        "is_available": lambda: True,
        "get_device_capability": lambda *_: capability,
        "get_device_name": lambda *_: "Fake GPU",
        "get_device_properties": lambda *_: SimpleNamespace(total_memory=2 * free),
        "mem_get_info": lambda *_: (free, 2 * free),
        "memory_allocated": lambda *_: 0,
        "memory_reserved": lambda *_: 0,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return Device(torch.device("cuda"), torch.bfloat16, "bf16", "Fake GPU")
