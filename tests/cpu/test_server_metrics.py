"""/metrics, the probes and the OpenAPI document."""

from __future__ import annotations

import threading
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from fake_runner import FakeRunner
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from serving import serving, until

from mezzotint.server.edge import outcome_of
from mezzotint.server.gpus import GpuCollector, Gpus
from mezzotint.server.metrics import BUCKETS_S

CALL = {"prompt": "a red apple", "size": "64x64", "steps": 2}
ROUTE = "/v1/images/generations"


def test_pictures_and_requests_are_counted() -> None:
    with serving(FakeRunner(step_s=0.01)) as server, server.client() as http:
        http.post(ROUTE, json=CALL | {"n": 3})
        http.post(ROUTE, json=CALL | {"stream": True})
        http.post(ROUTE, json=CALL | {"n": 0})
        http.get("/no/such/place")
        text = http.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[name, tuple(sorted(labels.items()))]

    assert value("mezzotint_requests_total", route=ROUTE, outcome="completed") == 2
    assert value("mezzotint_requests_total", route=ROUTE, outcome="invalid") == 1
    assert value("mezzotint_requests_total", route="other", outcome="invalid") == 1
    assert value("mezzotint_images_total") == 4
    assert value("mezzotint_pixels_total") == 4 * 64 * 64
    assert value("mezzotint_ready") == 1
    assert value("mezzotint_images_in_progress") == 0
    assert value("mezzotint_queue_waiting") == value("mezzotint_queue_running") == 0
    for stage in ("queue", "encode", "denoise", "decode", "file"):
        assert value("mezzotint_stage_seconds_count", stage=stage, clock="host") == 4
    denoise = value("mezzotint_stage_seconds_sum", stage="denoise", clock="host")
    assert 4 * 2 * 0.01 <= denoise < 4 * 2 * 1.0
    assert value("mezzotint_launches_total", device="0", stage="denoise", graph="no") == 8
    assert value("mezzotint_launches_total", device="0", stage="denoise", graph="yes") == 0
    assert value("mezzotint_packs_total", device="0", requests="1") == 8
    assert value("mezzotint_device_seconds_total", device="0", cause="denoise") > 0
    assert value("mezzotint_memory_bytes", device="0", owner="slots") == 2
    assert "mezzotint_gpu_utilization_ratio" not in families
    assert "process_resident_memory_bytes" in families


def test_gauges_show_what_is_under_way() -> None:
    runner = FakeRunner(step_s=0.02, slots=2)
    with serving(runner) as server, server.client() as http:
        call = CALL | {"n": 5, "steps": 30}
        thread = threading.Thread(target=lambda: http.post(ROUTE, json=call))
        thread.start()
        until(lambda: server.metric("mezzotint_queue_running") == 2)
        assert server.metric("mezzotint_queue_waiting") == 3
        assert server.metric("mezzotint_images_in_progress") == 5
        thread.join()
        assert server.metric("mezzotint_images_in_progress") == 0


def test_buckets_resolve_what_a_picture_takes() -> None:
    assert (BUCKETS_S[0], BUCKETS_S[-1]) == (0.005, 10.0)
    assert all(low < high <= 2 * low for low, high in pairwise(BUCKETS_S))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "completed"),
        (404, "invalid"),
        (429, "refused"),
        (499, "cancelled"),
        (0, "cancelled"),
        (500, "failed"),
        (503, "unavailable"),
    ],
)
def test_outcomes(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


class FakeNvml:
    """Two GPUs, of which the second does not answer."""

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index == 1:
            raise self.NVMLError("lost")
        return index

    def nvmlDeviceGetMemoryInfo(self, _: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=3, total=4)

    def nvmlDeviceGetUtilizationRates(self, _: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=50)

    def nvmlDeviceGetPowerUsage(self, _: int) -> int:  # noqa: N802
        return 650_000

    def nvmlDeviceGetEnforcedPowerLimit(self, _: int) -> int:  # noqa: N802
        return 700_000

    def nvmlDeviceGetClockInfo(self, _: int, kind: int) -> int:  # noqa: N802
        assert kind == 1  # NVML_CLOCK_SM
        return 1755

    def nvmlDeviceGetTemperature(self, _: int, kind: int) -> int:  # noqa: N802
        raise self.NVMLError("not known of this one")


def test_gpus_as_the_driver_sees_them() -> None:
    registry = CollectorRegistry()
    registry.register(GpuCollector(Gpus(FakeNvml(), visible="")))
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'mezzotint_gpu_utilization_ratio{gpu="0"} 0.5',
        'mezzotint_gpu_memory_used_bytes{gpu="0"} 3.0',
        'mezzotint_gpu_memory_total_bytes{gpu="0"} 4.0',
        'mezzotint_gpu_power_watts{gpu="0"} 650.0',
        'mezzotint_gpu_clock_mhz{gpu="0"} 1755.0',
    ]


def test_a_device_is_the_gpu_that_its_worker_sees() -> None:
    asked: list[int | str] = []

    class Nvml(FakeNvml):
        def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
            asked.append(index)
            return index

        def nvmlDeviceGetHandleByUUID(self, name: str) -> int:  # noqa: N802
            asked.append(name)
            return 7

    readings = Gpus(Nvml(), visible="3, GPU-8f").read()
    assert (asked, list(readings)) == ([3, "GPU-8f"], [0, 1])
    assert (readings[0].utilization, readings[0].temperature_c) == (0.5, None)
