"""The targets' table: what reaches it, what misses it, and what it says of rows that lack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_rows import RUN, Row, reaching_every_aim, whole

from bench import targets
from bench.results_table import Results
from bench.rows import RESULTS, read
from bench.targets import ATTENTION, EXACT, FAST, GIB, beyond, judge, lines, origin_lines


def verdicts_of(rows: list[Row]) -> dict[tuple[str, str], str]:
    return {(v.target.title, v.target.mode): v.reached for v in judge(Results.of(rows))}


def test_rows_that_reach_every_aim() -> None:
    found = judge(Results.of(reaching_every_aim()))
    assert {v.reached for v in found} == {"aim"}, "\n".join(lines(found))
    assert len(found) == 28


def test_attention_in_fp8_is_reported_where_it_was_measured() -> None:
    rows = [*reaching_every_aim()]
    assert beyond(Results.of(rows)) == []
    fast = next(r for r in rows if (r["system"], r["workload"]) == (FAST, "forward-1024px"))
    found = beyond(Results.of([*rows, fast | {"system": ATTENTION, "ms": 49.0}]))
    assert [(v.target.title, v.target.mode, v.reached) for v in found] == [
        ("one forward at 1024²", "fast*", "aim")
    ]
    assert "fast*" in "\n".join(lines(found))


@pytest.mark.parametrize(
    ("system", "workload", "key", "bad", "missed"),
    [
        (EXACT, "1024px-8", "ms", 1000, 2),  # against eager and against compiled
        (FAST, "512px-8", "ms", 200, 2),
        (EXACT, "1024px-40-guided", "ms", 8000, 1),
        (FAST, "512px-8-x16", "images_per_s", 5.0, 1),
        (EXACT, "forward-1024px", "ms", 90.1, 1),
        (FAST, "1024px-40-guided", "peak_bytes", 12.6 * GIB, 1),
        (EXACT, "new-size-1024px", "ratio", 1.31, 1),
        (FAST, "new-size-512px", "ratio", 1.61, 1),
        (EXACT, "steady-1024px", "device_allocations_per_step", 0.5, 1),
        (EXACT, "steady-1024px", "syncs_per_step", 1, 1),
        (FAST, "steady-1024px", "idle_fraction", 0.021, 1),
        (FAST, "fidelity-64", "median_psnr_db", 35.9, 1),
        (FAST, "fidelity-64", "median_ssim", 0.969, 1),
    ],
)
def test_one_value_below_its_floor(
    system: str, workload: str, key: str, bad: float, missed: int
) -> None:
    rows = [
        row | ({key: bad} if (row["system"], row["workload"]) == (system, workload) else {})
        for row in reaching_every_aim()
    ]
    reached = list(verdicts_of(rows).values())
    assert reached.count("missed") == missed
    assert reached.count("aim") == 28 - missed


def test_equal_pictures_reach_every_floor() -> None:
    rows = [
        r | ({"median_psnr_db": None} if "median_psnr_db" in r else {})
        for r in reaching_every_aim()
    ]
    assert set(verdicts_of(rows).values()) == {"aim"}


def test_between_floor_and_aim() -> None:
    rows = [
        row | ({"ms": 88} if (row["system"], row["workload"]) == (EXACT, "forward-1024px") else {})
        for row in reaching_every_aim()
    ]
    assert verdicts_of(rows)[("one forward at 1024²", "exact")] == "floor"


@pytest.mark.parametrize(
    "gone", sorted({(r["system"], r["workload"]) for r in reaching_every_aim()})
)
def test_a_row_that_lacks_is_said(gone: tuple[str, str]) -> None:
    rows = [r for r in reaching_every_aim() if (r["system"], r["workload"]) != gone]
    results = Results.of(rows)
    if gone[1] == "1024px-40-guided-x4":  # reported, not held
        assert any("not measured" in line for line in origin_lines(results))
    else:
        unknown = [v for v in judge(results) if v.reached == "unknown"]
        assert unknown
        assert all(gone[0] in v.measured.reason for v in unknown)  # type: ignore[union-attr]


def test_a_failed_row_gives_its_reason_and_hides_no_older_one() -> None:
    rows = [r for r in reaching_every_aim() if r["system"] != "diffsynth"]
    failed = RUN | {"system": "diffsynth", "workload": "1024px-40-guided", "error": "out of memory"}
    text = "\n".join(lines(judge(Results.of([*rows, failed]))))
    assert "diffsynth failed at 1024px-40-guided: out of memory" in text
    assert verdicts_of([*reaching_every_aim(), failed])[
        ("1024², 40 steps, guidance 4, against DiffSynth", "exact")
    ]


def test_rows_of_another_machine_are_not_set_beside() -> None:
    rows = [
        row | ({"machine": "other"} if row["system"] == "diffusers" else {})
        for row in reaching_every_aim()
    ]
    reached = verdicts_of(rows)
    assert reached[("1024², 8 steps, against diffusers eager", "exact")] == "unknown"
    assert reached[("1024², 8 steps, against diffusers compiled", "exact")] == "aim"


def test_a_newer_row_without_a_rival_does_not_hide_the_pair() -> None:
    newer = whole(EXACT, "1024px-8", 1.0) | {"machine": "other"}
    found = judge(Results.of([*reaching_every_aim(), newer]))[0]
    assert found.measured.value == pytest.approx(1 / 0.36)  # type: ignore[union-attr]


def test_the_best_batch_of_the_rival_counts() -> None:
    reached = {
        v.target.title: v.measured
        for v in judge(Results.of(reaching_every_aim()))
        if v.target.mode == "exact"
    }
    measured = reached["16 at once, 512², against diffusers compiled at its best batch"]
    assert "at batch 8" in measured.note  # type: ignore[union-attr]


def test_the_figures_it_set_out_from() -> None:
    text = "\n".join(origin_lines(Results.of(reaching_every_aim())))
    assert "2.78 x" in text  # 12 s / 4.32 s
    assert "90% -> 98%" in text
    assert "22.0 -> 18.5 GiB: -15.9%" in text
    assert "+178%" in text


def test_the_command_s_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [{k: v for k, v in row.items() if k != "where"} for row in reaching_every_aim()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["targets", str(file)])
    assert targets.main() == 0
    assert "28 of 28 floors are reached" in capsys.readouterr().out
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[1:]), encoding="utf-8")
    assert targets.main() == 1
    assert "NOT MEASURED" in capsys.readouterr().out


def test_the_rows_that_are_kept_can_be_read() -> None:
    results = Results.of(read(sorted(RESULTS.glob("*.jsonl"))))
    assert results.rows
    assert len(list(lines(judge(results)))) == 29
    assert len(list(origin_lines(results))) == 9


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"system": "a"}\nnonsense\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"rows\.jsonl:2 is no row"):
        read([file])
