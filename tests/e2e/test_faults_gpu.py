"""The faults that are made for real on a GPU, at the CPU: all but the one that needs a GPU."""

from __future__ import annotations

from pathlib import Path

from bench.faults import gpu


def test_a_worker_that_breaks_for_real_costs_no_picture_and_no_other_worker(tmp_path: Path) -> None:
    row = gpu.run(tmp_path, ("memory", "death", "frame", "hang"), times=1, limit_s=0.0)
    assert row["faults"] == {"memory": 1, "death": 1, "frame": 1, "hang": 1}
    assert row["left_out"] == ["illegal"]
    assert row["met"], row
