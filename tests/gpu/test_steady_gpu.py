"""Once warm, a step allocates nothing, stops no host, and leaves the GPU no gaps worth naming."""

from __future__ import annotations

import pytest
import torch

from bench.probes.forward import measure_forward
from bench.probes.recording import recording
from bench.probes.steady import measure_steady
from mezzotint import Engine
from mezzotint.config import read_precision
from mezzotint.measure.workload import Workload, new_prompts, request_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
WORKLOAD = Workload("small", 128, 128, 8, 0.0)


@pytest.mark.parametrize("precision", ["bf16", "fp8", "fp8+attention"])
def test_a_step_allocates_nothing_and_stops_no_host(precision: str) -> None:
    if precision != "bf16" and torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("needs FP8 and, for attention, Hopper")
    with Engine(device="cuda", **read_precision(precision)) as engine:
        row = measure_steady(engine, WORKLOAD, new_prompts())
    assert row["device_allocations_per_step"] == 0
    assert row["syncs_per_step"] == 0
    assert row["warned_syncs_per_step"] == 0
    assert row["launches_per_step"] > 0  # the profiler saw what ran
    assert 0 <= row["idle_fraction"] < 1


def test_forwards_alone_can_be_timed() -> None:
    with recording() as recorded, Engine(device="cuda") as engine:
        engine.submit(request_of("a red apple", WORKLOAD)).result()
        call = recorded["denoise"].last
        assert call is not None
        row = measure_forward(call)
    assert 0 < row["ms"] < 100
    assert 0 < row["straight_ms"] < 100
