"""What is asked of the driver is asked of the GPU that torch uses."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from mezzotint.measure import gpu


def test_the_gpu_is_named_by_its_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    nvml = ModuleType("pynvml")
    nvml.NVMLError = RuntimeError  # type: ignore[attr-defined]
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByUUID = lambda uuid: asked.append(uuid) or uuid  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetUtilizationRates = lambda _: SimpleNamespace(gpu=50)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    properties = SimpleNamespace(uuid="1b-2c")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: properties)
    monkeypatch.setattr(gpu, "_SAMPLE_S", 0.001)
    with gpu.watch() as seen:
        while not seen.samples:
            pass
    assert asked == ["GPU-1b-2c"]
    assert seen.mean == 0.5


def test_without_a_gpu_nothing_is_seen() -> None:
    with gpu.watch() as seen:
        pass
    if not torch.cuda.is_available():
        assert seen.mean is None
