"""The ladder and the sweep of packs, on the bundled model at a small size."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest
import torch

from bench import ladder, packing, packing_load, pipeline
from bench.ladder import NAMES, RUNGS, Rung, climb, line
from mezzotint import Engine, kernels
from mezzotint.engine.cost import PACK_FROM
from mezzotint.kernels.attention import cuda as cuda_attention
from mezzotint.measure import timing
from mezzotint.measure.workload import Workload

SMALL = (Workload("one", 96, 96, 2, 0.0), Workload("four", 96, 96, 2, 0.0, at_once=4))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REST_S", 0.0)
    monkeypatch.setattr(timing, "WARMUPS", 1)
    monkeypatch.setattr(ladder, "FIDELITY_PROMPTS", 1)
    monkeypatch.setattr(ladder, "REPEATS", 1)


def test_rungs_run_and_the_exact_ones_agree() -> None:
    rungs = [RUNGS[0], RUNGS[4], *RUNGS[-2:]]
    rows = list(climb(rungs, SMALL, "cpu", {}))
    assert [row["rung"] for row in rows] == ["eager", "overlap", "FP8", "FP8 attention"]
    assert [row["place"] for row in rows] == [0, 4, len(NAMES) - 2, len(NAMES) - 1]
    assert not [row for row in rows if "error" in row]
    eager, overlap, fp8, attention = rows
    assert set(eager["ms"]) == {"one", "four"}
    # A CPU has one path: what differs there is FP8 alone.
    assert eager["median_psnr_db"] == overlap["median_psnr_db"]
    assert fp8["median_psnr_db"] < overlap["median_psnr_db"]
    assert attention["median_psnr_db"] not in (None, fp8["median_psnr_db"])
    assert "img/s" in line(eager)


def test_what_is_off_is_off_only_on_its_rung() -> None:
    seen = Counter[str]()

    def look(name: str) -> None:
        seen[f"{name} plain"] += kernels._on_gpu is not on_gpu
        seen[f"{name} attention"] += cuda_attention.attention is not attention
        seen[f"{name} no_grad"] += torch.inference_mode is torch.no_grad

    on_gpu, attention = kernels._on_gpu, cuda_attention.attention
    for rung in RUNGS[:3]:
        with ladder._off(rung.off):
            look(rung.name)
    look("after")
    assert {name for name, times in seen.items() if times} == {
        *("eager plain", "eager attention", "eager no_grad"),
        *("inference mode plain", "inference mode attention"),
    }


def test_torch_s_attention_takes_what_the_engine_gives() -> None:
    q = torch.randn(32, 2, 8)
    segments = kernels.Segments.of((16, 16), q.device)
    expected = kernels.attention(q, q, q, segments)
    with ladder._off(RUNGS[0].off):  # what a GPU's dispatch calls
        found = cuda_attention.attention(q, q, q, segments, False, backend=None)
    assert torch.equal(found, expected)


def test_a_rung_that_fails_is_a_row() -> None:
    (row,) = climb([Rung("FP8", {"precision": "fp3"})], SMALL, "cpu", {})
    assert "fp3" in row["error"]
    assert "FAILED" in line(row)


def test_every_kind_of_pipeline_makes_pictures_and_leaves_the_engine_as_it_was() -> None:
    with Engine(device="cpu") as engine:
        executor, recorder = engine._loop._executor, engine._loop._recorder
        stages = executor._stages
        rows = list(pipeline.compare(engine, SMALL[1], pipeline.KINDS, rounds=1))
        assert (executor._stages, engine._loop._recorder) == (stages, recorder)
    assert [row["kind"] for row in rows] == list(pipeline.KINDS)
    assert all(row["images_per_s"] > 0 and row["to_as_it_is"] > 0 for row in rows)
    assert "watched" in pipeline.line(rows[-1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would measure")
@pytest.mark.parametrize("bench", [ladder, packing, pipeline])
def test_what_takes_a_gpu_says_so_at_once(
    monkeypatch: pytest.MonkeyPatch, bench: ModuleType
) -> None:
    monkeypatch.setattr("sys.argv", ["bench"])
    monkeypatch.delattr("mezzotint.engine.engine.Engine.__init__")
    with pytest.raises(SystemExit, match="no NVIDIA GPU is visible to torch"):
        bench.main()


def test_under_load_shared_forwards_shorten_the_wait_and_few_requests_share_none() -> None:
    measured = [
        {"precision": "bf16", "at_once": 4, "pack_tflop": n * packing.STEP_TFLOP, "ms": 4 * ms}
        for n, ms in ((0, 180.0), (2, 177.0), (4, 170.0))
    ]
    rows = packing_load.run("bf16", measured, pictures=1500)
    mean = {(row["load"], row["from"]): row["mean_s"] for row in rows}
    assert mean[0.5, 2] > 1.1 * mean[0.5, 0]
    assert mean[0.5, PACK_FROM] < 1.02 * mean[0.5, 0]
    assert mean[1.0, PACK_FROM] < 0.8 * mean[1.0, 0]
    assert mean[1.0, PACK_FROM] < 1.1 * mean[1.0, 2]


def test_the_sweep_changes_what_shares_a_forward() -> None:
    with Engine(device="cpu") as engine:
        rows = list(packing.sweep(engine, (1, 4), SMALL[1:]))
        assert engine._scheduler.limits.pack_tflop == 4 * packing.STEP_TFLOP
    assert [row["pack_tflop"] for row in rows] == [0.0, 4 * packing.STEP_TFLOP]
    assert all(row["images_per_s"] > 0 for row in rows)
