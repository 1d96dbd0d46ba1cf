"""Write docs/performance.md, its plots and the READMEs' tables: `python -m bench.report`."""

from __future__ import annotations

import argparse
import sys

from bench.environment import ROOT
from bench.report.headline import headline, put
from bench.report.page import Rows, page
from bench.results_table import Results

READMES = {"README.md": "en", "README.zh.md": "zh"}


def main() -> int:
    argparse.ArgumentParser(prog="python -m bench.report", description=__doc__).parse_args()
    try:
        from bench.report import plots
    except ImportError:
        print("matplotlib draws the plots: pip install -e '.[bench]'", file=sys.stderr)
        return 1
    rows = Rows.of()
    results = Results.of(rows.pictures)
    (ROOT / "docs" / "performance.md").write_text(page(rows), encoding="utf-8")
    for name, language in READMES.items():
        path = ROOT / name
        text = put(path.read_text(encoding="utf-8"), headline(results, language))
        path.write_text(text, encoding="utf-8")
    images = ROOT / "docs" / "images"
    plots.throughput(results, images / "throughput.png")
    plots.ladder(rows.ladder, images / "ladder.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
