"""The server under fault: `python -m bench.faults NAME... --out bench/results/faults.jsonl`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.environment import described
from bench.faults import cancels, disks, drains, kills, streams, workers
from bench.rows import append

Fault = Callable[[Path, bool], dict[str, Any]]  # folder, short -> a row with "met"
FAULTS: dict[str, Fault] = {
    "workers": workers.run,
    "cancels": cancels.run,
    "drains": drains.run,
    "disks": disks.run,
    "kills": kills.run,
    "streams": streams.run,
}


def main() -> int:
    options = _options()
    about = {
        "command": " ".join(["python -m bench.faults", *sys.argv[1:]]),
        "commit": described(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),  # of the machine: others may use it
    }
    missed = False
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            row = about | {"name": name} | FAULTS[name](Path(folder), options.short)
        print(json.dumps(row), flush=True)
        missed |= not row["met"]
        append(options.out, row)
    return int(missed and options.strict)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(FAULTS))
    parser.add_argument("--short", action="store_true", help="a few instead of hundreds")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a promise is broken")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
