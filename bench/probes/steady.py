"""The steady state: allocations, host syncs and idle time once everything is warm."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.probes.busy import idle_fraction
from bench.rows import Row
from mezzotint import Engine
from mezzotint.measure.workload import Workload, request_of

QUEUED = 3  # pictures waiting while it is watched
SHORT = 4  # steps of the shorter run; the longer has twice as many
BLOCKING = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpy")
DEVICE_ALLOCATIONS = ("cudaMalloc", "cudaMallocAsync", "cuMemCreate", "cuMemAlloc_v2")


@dataclass(frozen=True)
class Seen:
    """What one watched run did."""

    steps: int
    allocations: int  # by torch's allocator, of memory it already had or not
    device_allocations: int  # by the driver
    syncs: int  # calls that stop the host until a stream or the device is idle
    warned_syncs: int  # synchronising operations that torch itself warns of
    waits: int  # for one event: how the host keeps no more than two steps ahead
    launches: int
    idle: float  # share of the time from the first kernel to the last with no kernel on the GPU


def measure_steady(engine: Engine, workload: Workload, prompts: Iterator[str]) -> Row:
    """Differences between a long and a short run, a step: what a picture costs once drops out."""
    short = replace(workload, steps=SHORT)
    long = replace(workload, steps=2 * SHORT)
    for one in (short, long) * 2:
        _run(engine, one, prompts)
    less, more = (_watch(engine, one, prompts) for one in (short, long))
    steps = more.steps - less.steps
    return {
        "queued": QUEUED,
        "device_allocations_per_step": (more.device_allocations - less.device_allocations) / steps,
        "allocations_per_step": (more.allocations - less.allocations) / steps,
        "syncs_per_step": (more.syncs - less.syncs) / steps,
        "warned_syncs_per_step": (more.warned_syncs - less.warned_syncs) / steps,
        "event_waits_per_step": (more.waits - less.waits) / steps,
        "launches_per_step": (more.launches - less.launches) / steps,
        "device_allocations": more.device_allocations,
        "idle_fraction": more.idle,
    }


def _run(engine: Engine, workload: Workload, prompts: Iterator[str]) -> None:
    requests = [request_of(next(prompts), workload, seed) for seed in range(QUEUED)]
    for ticket in engine.submit_all(requests):
        ticket.result()


def _watch(engine: Engine, workload: Workload, prompts: Iterator[str]) -> Seen:
    from torch.profiler import ProfilerActivity, profile

    before = torch.cuda.memory_stats()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
                _run(engine, workload, prompts)
                torch.cuda.synchronize()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    after = torch.cuda.memory_stats()
    return _seen(profiled, caught, before, after, workload.steps * QUEUED)


def _seen(
    profiled: Any, caught: list[Any], before: dict[str, Any], after: dict[str, Any], steps: int
) -> Seen:
    events = list(profiled.events())
    host = [e for e in events if e.device_type == torch.autograd.DeviceType.CPU]
    device = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = [e for e in device if not e.name.startswith(("Memcpy", "Memset"))]
    names = [e.name for e in host]
    return Seen(
        steps=steps,
        allocations=_grown("allocation.all.allocated", before, after),
        device_allocations=max(  # torch's own count, and all that the driver was asked for
            _grown("num_device_alloc", before, after),
            sum(names.count(name) for name in DEVICE_ALLOCATIONS),
        ),
        syncs=sum(names.count(name) for name in BLOCKING),
        warned_syncs=sum("synchroniz" in str(w.message) for w in caught),
        waits=names.count("cudaEventSynchronize"),
        launches=sum(
            name.startswith(("cudaLaunch", "cudaGraphLaunch", "cuLaunch")) for name in names
        ),
        idle=idle_fraction([(e.time_range.start, e.time_range.end) for e in kernels]),
    )


def _grown(key: str, before: dict[str, Any], after: dict[str, Any]) -> int:
    return int(after.get(key, 0) - before.get(key, 0))
