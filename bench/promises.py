"""Measurements that are held to a promise: run by name, told as rows, judged by `met`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.environment import described
from bench.rows import Row, append

Measure = Callable[[Path, bool], Row]  # folder of its own, short -> a row with "met"


def run(module: str, about: str | None, measures: Mapping[str, Measure]) -> int:
    """The command `python -m module NAME...`. -> 1 if one was missed and that was asked for."""
    options = _options(module, about, measures)
    row = {
        "command": " ".join([f"python -m {module}", *sys.argv[1:]]),
        "commit": described(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),  # of the machine: others may use it
    }
    missed = False
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            measured = row | {"name": name} | measures[name](Path(folder), options.short)
        print(json.dumps(measured), flush=True)
        missed |= not measured["met"]
        append(options.out, measured)
    return int(missed and options.strict)


def _options(module: str, about: str | None, measures: Mapping[str, Measure]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("names", nargs="+", choices=sorted(measures))
    parser.add_argument("--short", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a promise is broken")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    return parser.parse_args()
