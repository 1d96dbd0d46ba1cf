"""The GPU's bench of the server, at a small size on the CPU: it must not break where it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import serve_gpu
from bench.rows import read


def test_every_part_leaves_a_row_and_one_that_breaks_stops_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(sides: serve_gpu.Sides, setup: serve_gpu.Setup) -> serve_gpu.Row:
        raise RuntimeError("a defect")

    monkeypatch.setitem(serve_gpu.PARTS, "overhead", broken)
    out = tmp_path / "rows.jsonl"
    left = []
    for row in serve_gpu.measure(serve_gpu.SHORT, out):
        left.append(row["name"])
        assert [each["name"] for each in read([out])] == left, "a row is not there as it comes"
    start, throughput, overhead, looks = read([out])
    assert left == [f"gpu {name}" for name in serve_gpu.PARTS]
    assert start["server_s"] > 0
    assert 0.5 < throughput["server_of_bare"] < 2.0, throughput
    assert overhead["error"] == "RuntimeError: a defect"
    assert not overhead["met"]
    assert looks["first_look_p50_ms"] > 0.5 * looks["step_p50_ms"] > 0, looks
