"""What the driver says about the GPUs, where there are any."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mezzotint.server.frame import GpuReading

_METRICS = (
    (
        "mezzotint_gpu_utilization_ratio",
        "Share of the last sample in which a kernel ran",
        "utilization",
    ),
    (
        "mezzotint_gpu_memory_used_bytes",
        "Device memory in use, by all processes",
        "memory_used_bytes",
    ),
    ("mezzotint_gpu_memory_total_bytes", "Device memory", "memory_total_bytes"),
    ("mezzotint_gpu_power_watts", "Power drawn", "power_watts"),
    ("mezzotint_gpu_clock_mhz", "Clock of the multiprocessors", "clock_mhz"),
)
_CLOCK_SM = 1  # NVML_CLOCK_SM
_ON_GPU = 0  # NVML_TEMPERATURE_GPU


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU, as it does not change."""

    index: int
    name: str
    memory_bytes: int


class Gpus:
    """Asks NVML at each reading; the driver itself samples the utilisation several times a second.

    Device i is the i-th that CUDA_VISIBLE_DEVICES names, if it names any. Without nvidia-ml-py, a
    driver or a GPU there are none.
    """

    def __init__(self, nvml: Any = None, visible: str | None = None) -> None:
        self._nvml = _open() if nvml is None else nvml
        if visible is None:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self._visible = [name.strip() for name in visible.split(",") if name.strip()]

    def read(self) -> dict[int, GpuReading]:
        """By device; one that does not answer is left out."""
        if self._nvml is None:
            return {}
        count = len(self._visible) or self._nvml.nvmlDeviceGetCount()
        readings = {index: self._read(index) for index in range(count)}
        return {index: reading for index, reading in readings.items() if reading is not None}

    def cards(self) -> tuple[Card, ...]:
        """Every device that answers, by its number."""
        if self._nvml is None:
            return ()
        cards = []
        for index, reading in self.read().items():
            name = self._nvml.nvmlDeviceGetName(self._handle(index))
            cards.append(Card(index, _text(name), reading.memory_total_bytes or 0))
        return tuple(cards)

    def _read(self, index: int) -> GpuReading | None:
        nvml = self._nvml
        try:
            device = self._handle(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(device)
        except nvml.NVMLError:  # a GPU that fell off the bus must not take the others along
            return None
        # A driver may know no power or clock of a device, as of a slice of one.
        return GpuReading(
            utilization=self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu / 100),
            memory_used_bytes=int(memory.used),
            memory_total_bytes=int(memory.total),
            power_watts=self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000),
            power_limit_watts=self._ask(
                lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(device) / 1000
            ),
            clock_mhz=self._ask(lambda: nvml.nvmlDeviceGetClockInfo(device, _CLOCK_SM)),
            temperature_c=self._ask(lambda: nvml.nvmlDeviceGetTemperature(device, _ON_GPU)),
        )

    def _handle(self, index: int) -> Any:
        if not self._visible:
            return self._nvml.nvmlDeviceGetHandleByIndex(index)
        name = self._visible[index]
        if name.isdecimal():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def _ask(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except self._nvml.NVMLError:
            return None


class GpuCollector(Collector):
    """The readings as Prometheus' gauges."""

    def __init__(self, gpus: Gpus) -> None:
        self._gpus = gpus

    def collect(self) -> Iterable[Metric]:
        readings = self._gpus.read()
        if not readings:
            return
        for name, text, field in _METRICS:
            family = GaugeMetricFamily(name, text, labels=("gpu",))
            for index, reading in readings.items():
                value = getattr(reading, field)
                if value is not None:
                    family.add_metric((str(index),), float(value))
            yield family


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
