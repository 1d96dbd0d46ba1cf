"""What whoever has no GPU waits for: `python -m bench.startup [--runs 5] [--out rows.jsonl]`.

Each in a process of its own, with the bundled model: a command that only reads, a picture on the
command line, a server until it answers and until it is ready, its first picture, its memory.
Medians of the runs, after one that warms the file cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.environment import environment, python_path
from bench.rows import Row, append
from bench.server import ServerProcess, send

PROMPT = "a red apple on green grass"
SECONDS = ("presets", "generate", "answers", "ready", "picture")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of which the medians are told")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    options = parser.parse_args()
    row = environment("bench.startup") | {"cores": len(os.sched_getaffinity(0))}
    row |= {"load_before": os.getloadavg()[0]} | measure(options.runs)
    append(options.out, row)
    seconds = {name: f"{row[f'{name}_s']:.2f} s" for name in SECONDS}
    megabytes = {name: f"{row[f'{name}_bytes'] / 1e6:.0f} MB" for name in ("server", "worker")}
    print(" · ".join(f"{name} {value}" for name, value in (seconds | megabytes).items()))


def measure(runs: int) -> Row:
    """Medians of `runs`, and their number."""
    with tempfile.TemporaryDirectory() as folder:
        seen = [_once(Path(folder) / str(run)) for run in range(runs + 1)][1:]
    return {"runs": runs} | {name: median(each[name] for each in seen) for name in seen[0]}


def _once(folder: Path) -> dict[str, float]:
    folder.mkdir()
    commands = {
        "presets_s": _command_s("presets"),
        "generate_s": _command_s("generate", PROMPT, "--out", str(folder / "picture.png")),
    }
    return commands | _serve(folder / "data")


def _command_s(*arguments: str) -> float:
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "mezzotint", *arguments],
        env=os.environ | {"PYTHONPATH": python_path()},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - start


def _serve(data: Path) -> dict[str, float]:
    start = time.monotonic()
    server = ServerProcess(["mezzotint", "serve", "--device", "cpu"], data, {})
    try:
        answers_s = time.monotonic() - start
        server.wait_ready()
        ready_s = time.monotonic() - start
        picture_s = _picture_s(server.url)
        whole, workers = server.rss_bytes(), server.worker_bytes()
    finally:
        server.kill()
    return {
        "answers_s": answers_s,
        "ready_s": ready_s,
        "picture_s": picture_s,
        "server_bytes": whole - workers,
        "worker_bytes": workers,
    }


def _picture_s(url: str) -> float:
    """As any client asks for one, to the last byte of its PNG in base64."""
    call = {"prompt": PROMPT, "response_format": "b64_json"}
    start = time.monotonic()
    send("POST", f"{url}/v1/images/generations", call, limit_s=120)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
