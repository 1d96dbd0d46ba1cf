"""What whoever has no GPU waits for, measured once as `python -m bench.startup` does it."""

from __future__ import annotations

from bench.startup import SECONDS, measure


def test_a_start_is_measured_in_its_order_and_the_server_holds_no_torch() -> None:
    row = measure(1)
    assert all(row[f"{name}_s"] > 0.0 for name in SECONDS)
    assert row["presets_s"] < row["generate_s"]  # which alone reads weights
    assert row["answers_s"] < row["ready_s"]
    assert row["server_bytes"] < 200e6 < row["worker_bytes"]
