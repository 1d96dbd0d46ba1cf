"""What Prometheus reads: requests, queue, stages, pictures, the GPU."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mezzotint.engine.record import DeviceReport, Mark
from mezzotint.engine.stats import stage_totals
from mezzotint.server.gpus import GpuCollector, Gpus
from mezzotint.server.queue import Queue
from mezzotint.server.schema import ERRORS
from mezzotint.server.source import RunnerSource
from mezzotint.types import Image
from mezzotint.version import __version__

# A step takes 5 ms to seconds: these tell 20 % apart where it matters.
BUCKETS_S = (
    *(0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0),
)


_NOTHING_NEW = Mark(2**62, 2**62)  # an observation of the devices alone


class Metrics:
    """Counters in a registry of their own: two servers in a process do not mix."""

    def __init__(self, source: RunnerSource, queue: Queue, gpus: Gpus) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mezzotint_requests",
            "HTTP requests by route and outcome",
            ("route", "outcome"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "mezzotint_request_seconds",
            "Host wall time from a request's first byte to its answer's last",
            ("route",),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._stages = Histogram(
            "mezzotint_stage_seconds",
            "A picture's time in each stage; clock says whether the host or the device took it",
            ("stage", "clock"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._images = Counter("mezzotint_images", "Pictures finished", registry=self._registry)
        self._pixels = Counter("mezzotint_pixels", "Pixels finished", registry=self._registry)
        self._jobs = Counter(
            "mezzotint_jobs", "Jobs ended, by how", ("outcome",), registry=self._registry
        )
        self._registry.register(_State(source, queue))
        self._registry.register(GpuCollector(gpus))
        ProcessCollector(registry=self._registry)

    def request(self, route: str, outcome: str, seconds: float) -> None:
        """Count one HTTP request."""
        self._requests.labels(route, outcome).inc()
        self._latency.labels(route).observe(seconds)

    def picture(self, image: Image, clock: str) -> None:
        """Count a finished picture and its stages. Queueing and files are the host's always."""
        self._images.inc()
        self._pixels.inc(image.recipe.width * image.recipe.height)
        for stage, length_ms in stage_totals(image.spans).items():
            own = "host" if stage in ("queue", "file") else clock
            self._stages.labels(stage, own).observe(length_ms / 1e3)

    def job(self, outcome: str) -> None:
        """Count a job that ended: done, failed or cancelled."""
        self._jobs.labels(outcome).inc()

    def text(self) -> bytes:
        """Write it all in Prometheus' text format."""
        return generate_latest(self._registry)


def metrics_router(metrics: Metrics) -> APIRouter:
    """GET /metrics."""
    router = APIRouter(tags=["operation"])

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        description="Counters, gauges and histograms in Prometheus' text format; times in seconds.",
        response_class=Response,
        responses={
            200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}},
            "default": ERRORS["default"],
        },
    )
    def read_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


class _State(Collector):
    """What is so at the moment of reading."""

    def __init__(self, source: RunnerSource, queue: Queue) -> None:
        self._source = source
        self._queue = queue

    def collect(self) -> Iterable[Metric]:
        build = InfoMetricFamily("mezzotint_build", "The version")
        build.add_metric((), {"version": __version__})
        yield build
        served = self._source.peek()
        yield _gauge("ready", "1 when pictures can be made", float(self._source.state == "ready"))
        pending = float(self._queue.pending)
        yield _gauge("images_in_progress", "Pictures accepted and not finished", pending)
        if served is not None:
            stats = served.runner.stats()
            waiting = float(self._queue.waiting + stats.waiting)
            yield _gauge("queue_waiting", "Pictures that wait for their turn or a slot", waiting)
            yield _gauge("queue_running", "Pictures being made", stats.running)
            yield from _device_metrics(served.runner.observe(_NOTHING_NEW).devices)


def _device_metrics(reports: Iterable[DeviceReport]) -> Iterable[Metric]:
    """What each device ran, waited for and holds."""
    launches = CounterMetricFamily(
        "mezzotint_launches",
        "Launches by stage; graph says whether they were CUDA graphs alone",
        labels=("device", "stage", "graph"),
    )
    packs = CounterMetricFamily(
        "mezzotint_packs", "Denoise launches by requests in them", labels=("device", "requests")
    )
    causes = CounterMetricFamily(
        "mezzotint_device_seconds",
        "All time by cause: a stage that ran, the host that was waited for, idle",
        labels=("device", "cause"),
    )
    memory = GaugeMetricFamily(
        "mezzotint_memory_bytes", "Device memory by what holds it", labels=("device", "owner")
    )
    for report in reports:
        device = str(report.device)
        for stage, total in report.launches.items():
            replays = report.replays.get(stage, 0)
            launches.add_metric((device, stage, "yes"), replays)
            launches.add_metric((device, stage, "no"), total - replays)
        for size, count in sorted(report.packs.items()):
            packs.add_metric((device, str(size)), count)
        for cause, seconds in report.causes_s.items():
            causes.add_metric((device, cause), seconds)
        for owner, size in report.memory_bytes.items():
            memory.add_metric((device, owner), size)
    yield from (launches, packs, causes, memory)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"mezzotint_{name}", text, value=value)
