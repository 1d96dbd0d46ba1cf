"""What the driver says about the GPUs, where there are any."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_METRICS = (
    ("mezzotint_gpu_utilization_ratio", "Share of the last sample in which a kernel ran"),
    ("mezzotint_gpu_memory_used_bytes", "Device memory in use, by all processes"),
    ("mezzotint_gpu_memory_total_bytes", "Device memory"),
    ("mezzotint_gpu_power_watts", "Power drawn"),
)


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU of this machine."""

    index: int
    name: str
    memory_bytes: int


def list_cards(nvml: Any = None) -> tuple[Card, ...]:
    """The machine's GPUs; none without nvidia-ml-py or a driver."""
    nvml = _open() if nvml is None else nvml
    if nvml is None:
        return ()
    cards = []
    for index in range(nvml.nvmlDeviceGetCount()):
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        cards.append(Card(index, _text(nvml.nvmlDeviceGetName(device)), int(memory.total)))
    return tuple(cards)


class GpuCollector(Collector):
    """Asks NVML at each reading; the driver itself samples the utilisation several times a second.

    Without nvidia-ml-py, a driver or a GPU there are no such metrics.
    """

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = _open() if nvml is None else nvml

    def collect(self) -> Iterable[Metric]:
        if self._nvml is None:
            return
        families = [GaugeMetricFamily(name, text, labels=("gpu",)) for name, text in _METRICS]
        for index in range(self._nvml.nvmlDeviceGetCount()):
            for family, value in zip(families, self._read(index), strict=True):
                if value is not None:
                    family.add_metric((str(index),), value)
        yield from families

    def _read(self, index: int) -> tuple[float | None, ...]:
        nvml = self._nvml
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(device)
            return (
                nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100,
                float(memory.used),
                float(memory.total),
                nvml.nvmlDeviceGetPowerUsage(device) / 1000,
            )
        except nvml.NVMLError:  # a GPU that fell off the bus must not take the other metrics along
            return (None,) * len(_METRICS)


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _open() -> Any:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # installed, but there is no driver
        return None
    return nvml
