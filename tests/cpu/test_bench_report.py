"""docs/performance.md and the READMEs' tables are what the rows say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_rows import RUN, reaching_every_aim, whole

from bench.environment import ROOT
from bench.report.__main__ import READMES
from bench.report.headline import END, START, headline, put
from bench.report.page import Rows, page
from bench.report.tables import OURS
from bench.results_table import Results
from bench.startup import SECONDS
from bench.targets import FAST
from bench.workload import SINGLE


def all_kinds() -> Rows:
    """Rows that fill every section."""
    sweep = [
        whole(system, f"512px-8-x{count}", 400 * count, count, batch=batch)
        for system, batch in (("mezzotint", None), (FAST, None), ("diffusers-compiled", 4))
        for count in (1, 2, 4, 8, 16)
    ]
    probes: list[dict[str, Any]] = [
        RUN | {"system": system, "workload": workload, "precision": "bf16"} | values
        for system in ("mezzotint", FAST)
        for workload, values in (
            ("forward-1024px", {"ms": 83.1, "straight_ms": 86.0}),
            ("new-size-1024px", {"ms": 900.0, "warm_ms": 780.0, "ratio": 1.15}),
            ("new-size-512px", {"ms": 300.0, "warm_ms": 190.0, "ratio": 1.58}),
        )
    ]
    rival = whole("cache-dit", "1024px-8", 1200.0, same_picture_db=21.5)
    failed = RUN | {"system": "diffsynth", "workload": "512px-8", "error": "no such package"}
    fidelity = RUN | {
        "system": FAST,
        "workload": "fidelity-64",
        "against": "bf16",
        "prompts": 64,
        "median_psnr_db": 37.2,
        "worst_psnr_db": 30.1,
        "median_ssim": 0.981,
        "worst_ssim": 0.96,
    }
    rung: dict[str, Any] = {
        **RUN,
        "images_per_s": 5.5,
        "at_once": 16,
        "peak_bytes": 20 * 2**30,
        "median_psnr_db": 51.0,
        "median_ssim": 0.999,
    }
    ladder = [
        rung | {"rung": "graphs", "place": 3, "ms": {"1024px-8": 790.0, "512px-8": 190.0}},
        rung | {"rung": "eager", "place": 0, "ms": {"1024px-8": 1400.0, "512px-8": 480.0}},
        RUN | {"rung": "FP8", "place": 6, "error": "out of memory"},
    ]
    packing = [
        RUN | {"precision": "bf16", "at_once": 16, "pack_tflop": limit, "images_per_s": rate}
        for limit, rate in ((0.0, 5.6), (51.44, 6.25))
    ]
    loads = [
        {"precision": "bf16", "load": load, "from": least, "mean_s": 0.5, "p95_s": 1.25}
        for load in (0.9, None)
        for least in (0, 2, 4, 6)
    ]
    kinds = RUN | {"precision": "fp8", "workload": "512px-8-x16"}
    pipeline = (
        kinds | {"kind": "as it is", "images_per_s": 8.5, "to_as_it_is": 1.0},
        kinds | {"kind": "one stream", "images_per_s": 8.1, "to_as_it_is": 0.953},
    )
    seconds = {f"{name}_s": 0.1 * place for place, name in enumerate(SECONDS, 1)}
    memory = {"server_bytes": 112e6, "worker_bytes": 380e6}
    startup = (RUN | {"cores": 2, "runs": 5} | seconds | memory,)
    pictures = (*reaching_every_aim(), *sweep, *probes, rival, failed, fidelity)
    return Rows(
        tuple(pictures),
        tuple(ladder),
        tuple(packing),
        tuple(loads),
        Rows.of().kernels,
        pipeline,
        startup,
    )


def test_the_committed_page_is_what_the_script_writes() -> None:
    committed = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert committed == page(Rows.of()), "run `make performance`"


@pytest.mark.parametrize("name", READMES)
def test_the_committed_readme_has_the_rows_table(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    expected = headline(Results.of(Rows.of().pictures), READMES[name])
    assert put(text, expected) == text, "run `make performance`"


def test_the_readmes_rivals_ran_in_our_own_run() -> None:
    results = Results.of(Rows.of().pictures).on_newest_gpu(OURS)
    rivals = ("diffusers", "diffusers-compiled", "diffsynth")
    pairs = [
        pair
        for ours in OURS
        for rival in rivals
        for workload in SINGLE
        if (pair := results.pair(ours, rival, workload.name)) is not None
    ]
    assert len(pairs) == 2 * (2 + 2 + 1)
    assert all(ours["command"] == theirs["command"] for ours, theirs in pairs)


def test_a_page_of_every_kind_of_row() -> None:
    text = page(all_kinds())
    assert "Not measured yet" not in text
    assert "| ≥ 1.7 | ≥ 1.8 | aim reached (made:1, c; 2.50 × when" in text
    assert "| 16 | 2.50 | 2.50 | 4.57 (8) |" in text
    assert "| one forward at 1024², after a second's rest | 83.1 ms | 83.1 ms |" in text
    assert "| **Mezzotint, fast (FP8)** | bf16 | 64 | 37.2 dB | 30.1 dB | 0.9810 | 0.9600 |" in text
    assert "DiffSynth Studio failed: no such package." in text
    assert "21.5 dB" in text
    lines = text.splitlines()
    eager, graphs = (
        lines.index(line) for line in lines if line.startswith(("| eager", "| graphs"))
    )
    assert eager < graphs
    assert "| FP8 | failed: out of memory |" in text
    assert "| 51 TFLOP | 6.25 images/s |" in text
    assert "| bf16 | never | always | from six in hand |" in text
    assert "| load 90% | 0.50 (1.25) s | 0.50 (1.25) s | 0.50 (1.25) s |" in text
    assert "| one stream for all stages | 8.10 images/s, -4.7% |" in text
    assert "| `mezzotint serve`, until it answers | 0.30 s |" in text
    assert "The server's process holds 112 MB, its worker 380 MB" in text
    assert "images/ladder.png" in text
    assert "images/throughput.png" in text


def test_the_headline_in_two_languages() -> None:
    results = Results.of(all_kinds().pictures)
    english, chinese = headline(results, "en"), headline(results, "zh")
    for text in (english, chinese):
        assert "1500 ms (2.78 × · 4.55 ×)" in text
        assert "2.50 × · 4.09 ×" in text  # without the rival's PNG
    assert english.splitlines()[0] == START
    assert chinese.splitlines()[-1] == END


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        put("# Title", "x")
    assert put(f"a\n{START}\nold\n{END}\nb", f"{START}\nnew\n{END}") == f"a\n{START}\nnew\n{END}\nb"


def test_the_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the bench's extra draws; CI installs none of it")
    import matplotlib

    matplotlib.use("agg")
    from bench.report import plots

    rows = all_kinds()
    results = Results.of(rows.pictures)
    assert plots.throughput(results, tmp_path / "throughput.png")
    assert plots.ladder(rows.ladder, tmp_path / "ladder.png")
    assert all((tmp_path / f"{n}.png").stat().st_size > 5000 for n in ("throughput", "ladder"))
    assert not plots.ladder((), tmp_path / "none.png")
