"""What is drawn before the first picture: nobody sees it, and nothing of it stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mezzotint import ConfigError, Engine, Request, ResourceError
from mezzotint.config import Config, load, make
from mezzotint.engine import engine as engine_module
from mezzotint.engine.executor import Executor
from mezzotint.engine.graphs import GraphTally
from mezzotint.engine.pack import Pack
from mezzotint.engine.record import Mark
from mezzotint.engine.stage import Launch
from mezzotint.engine.warm_up import to_draw

APPLE = Request(prompt="a red apple on green grass", seed=3, steps=3)


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[Pack]:
    """All that any engine launches."""
    seen: list[Pack] = []
    launch = Executor.launch

    def noted(self: Executor, pack: Pack) -> Launch:
        seen.append(pack)
        return launch(self, pack)

    monkeypatch.setattr(Executor, "launch", noted)
    return seen


def test_every_stage_draws_each_size_twice_from_prompts_of_one_length(packs: list[Pack]) -> None:
    with Engine(warm_up="128x128,160x96") as engine:
        drawn = [(pack.stage, pack.rows[0].width) for pack in packs]
        prompts = [pack.rows[0].prompt_ids for pack in packs if pack.stage == "encode"]
        assert drawn == [
            (stage, width)
            for width in (128, 128, 160, 160)
            for stage in ("encode", "denoise", "denoise", "decode")
        ]
        assert len(prompts[0]) == len(prompts[1])
        assert prompts[0] != prompts[1]
        stats = engine.stats()
        assert (stats.outcomes, stats.waiting, stats.running) == ({}, 0, 0)
        assert engine.observe(Mark()).pictures == ()
        warmed = engine.submit(APPLE).result(60)
    with Engine() as cold:
        assert cold.submit(APPLE).result(60).data == warmed.data


def test_a_model_that_is_asked_for_nothing_draws_nothing(packs: list[Pack]) -> None:
    for warm_up in ("none", "own"):  # its own is for GPUs
        with Engine(warm_up=warm_up, device="cpu"):
            assert packs == []


def test_a_size_that_is_none_of_the_models_is_named_and_all_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[object] = []
    for owner in (Executor, GraphTally):  # of streams
        monkeypatch.setattr(owner, "close", lambda self: closed.append(self))
    with pytest.raises(ConfigError, match=r"warm_up: width 4096 .*96 to 192"):
        Engine(warm_up="4096x4096")
    assert {type(each) for each in closed} == {Executor, GraphTally}
    with pytest.raises(ConfigError, match=r"warm_up .*'large' is not WIDTHxHEIGHT"):
        make(warm_up="128x128,large")


def test_what_breaks_ends_the_engine_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(self: Executor, pack: Pack) -> Launch:
        raise MemoryError

    closed: list[object] = []
    close = engine_module.Engine.close
    monkeypatch.setattr(Executor, "launch", no_memory)
    monkeypatch.setattr(
        engine_module.Engine, "close", lambda self: (closed.append(self), close(self))
    )
    with pytest.raises(ResourceError, match="while 128x128 was encoded; warm up a smaller size"):
        Engine(warm_up="128x128")
    assert len(closed) == 1


def test_it_is_written_as_it_is_read() -> None:
    for text in ("none", "own", "1024x1024,512x768"):
        config = load({}, {"MEZZOTINT_WARM_UP": text}).config
        assert config.model_dump()["warm_up"] == text
        assert Config.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("kind", "budget", "sizes"), [("cuda", 2**40, 1), ("cuda", 0, 0), ("cpu", 2**40, 0)]
)
def test_own_is_drawn_on_a_gpu_that_has_room(kind: str, budget: int, sizes: int) -> None:
    with Engine(device="cpu") as engine:
        plan = replace(engine.memory, room=budget)
        drawn = to_draw("own", engine.spec, plan, torch.device(kind))
    assert [(r.width, r.height) for r in drawn] == [engine.spec.sizes[0]] * sizes
