"""The promises of docs/reliability.md, each in a few seconds; `make soak` keeps at it for longer.

Where a promise is a time, the bound here is a multiple of it: this machine may be busy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import serve
from bench.faults import cancels, disks, drains, kills, streams, workers

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    "fault",
    [workers.run, kills.run, drains.run, streams.run, disks.run],
    ids=lambda fault: fault.__module__.rpartition(".")[2],
)
def test_nothing_is_lost_under(
    fault: Callable[[Path, bool], dict[str, Any]], tmp_path: Path
) -> None:
    row = fault(tmp_path, True)
    assert row["met"], row


def test_a_cancelled_picture_frees_the_device_within_a_step(tmp_path: Path) -> None:
    row = cancels.run(tmp_path, True)
    assert row["left_behind"] == 0
    assert row["within"] >= 0.9 * row["cancels"], row
    assert row["beyond_a_step_max_ms"] < 500, row


def test_the_server_adds_little(tmp_path: Path) -> None:
    row = serve.overhead(tmp_path / "data", serve.SHORT)
    assert row["all_made"], row
    assert row["cpu_ms"] < 3 * 20, row  # processor time: a neighbour changes it least


def test_ten_times_too_many_are_told_so_and_the_work_goes_on(tmp_path: Path) -> None:
    row = serve.overload(tmp_path / "data", serve.SHORT)
    assert row["made"] > 0 < row["refused"], row
    assert row["neither"] == 0, row
    assert row["refused_p50_ms"] < 10 * 50, row
    assert row["goodput_of_peak"] > 0.5, row


def test_real_pictures_in_a_row(tmp_path: Path) -> None:
    row = serve.pictures(tmp_path / "data", serve.SHORT)
    assert row["all_made"], row
