"""Rows as the bench writes them, made up: they reach every aim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.targets import EXACT, FAST, GIB

Row = dict[str, Any]
RUN = {"gpu": "NVIDIA H200", "torch": "2.11.0", "machine": "m", "commit": "c", "where": "made:1"}
RIVAL_MS = {"1024px-8": 1500.0, "512px-8": 450.0, "1024px-40-guided": 12000.0}


def whole(system: str, workload: str, ms: float, at_once: int = 1, **more: Any) -> Row:
    timing = {
        "ms": ms,
        "to_picture_ms": 0.9 * ms,
        "images_per_s": at_once / ms * 1e3,
        "pictures_per_s": at_once / ms * 1.1e3,
        "peak_bytes": (10 if system == FAST else 18.5) * GIB,
        "utilisation": 0.98,
        "batch": None,
    }
    return RUN | {"system": system, "workload": workload} | timing | more


def reaching_every_aim() -> Iterator[Row]:
    for system, share in ((EXACT, 0.36), (FAST, 0.22)):
        for workload, ms in RIVAL_MS.items():
            yield whole(system, workload, ms * share)
        yield whole(system, "1024px-40-guided-x4", 4 * 12000 * share, 4)
        yield whole(system, "512px-8-x16", 3500 * 1.5 * share, 16)
        probe = RUN | {"system": system}
        yield probe | {"workload": "forward-1024px", "ms": 200 * share}
        for size in ("1024px", "512px"):
            yield probe | {"workload": f"new-size-{size}", "ratio": 1.2}
        yield probe | {
            "workload": "steady-1024px",
            "device_allocations_per_step": 0,
            "syncs_per_step": 0,
            "idle_fraction": 0.01,
        }
    yield RUN | {
        "system": FAST,
        "workload": "fidelity-64",
        "median_psnr_db": 37.0,
        "median_ssim": 0.98,
    }
    for workload in ("1024px-8", "512px-8"):
        yield whole("diffusers", workload, RIVAL_MS[workload])
        yield whole("diffusers-compiled", workload, RIVAL_MS[workload] * 0.75)
    yield whole("diffsynth", "1024px-40-guided", 12000, peak_bytes=22 * GIB, utilisation=0.9)
    yield whole("diffsynth", "1024px-40-guided-x4", 4 * 12000, 4, peak_bytes=22 * GIB)
    yield whole("diffusers-compiled", "512px-8-x16", 4200, 16, batch=4)
    yield whole("diffusers-compiled", "512px-8-x16", 3500, 16, batch=8)
