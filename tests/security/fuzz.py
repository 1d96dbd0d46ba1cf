"""Coverage-guided noise for every parser of ours: `make fuzz`, or python tests/security/fuzz.py 60.

Each parser gets its seconds in a process of its own. It may answer, or raise the one error that
fuzz_targets names; anything else is a defect, whose input is kept in fuzz-failures/.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

FAILURES = Path("fuzz-failures")
INSTRUMENTED = ["mezzotint.images", "mezzotint.models.safetensors_file", "mezzotint.workers.frames"]


def fuzz(name: str, seconds: int) -> None:
    """Run one parser under atheris; it ends this process."""
    import atheris
    import torch  # noqa: F401 - before anything is instrumented

    with atheris.instrument_imports(include=INSTRUMENTED):
        import fuzz_targets as targets

    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(targets.TARGETS[name][2]):
            (Path(folder) / str(number)).write_bytes(seed)
        FAILURES.mkdir(exist_ok=True)
        options = ["-max_len=4096", "-rss_limit_mb=4096", "-timeout=10", "-print_final_stats=1"]
        options += [f"-max_total_time={seconds}", f"-artifact_prefix={FAILURES}/{name}-"]
        atheris.Setup([sys.argv[0], *options, folder], lambda data: targets.one(data, name))
        atheris.Fuzz()


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("seconds", type=int, help="for each parser")
    reader.add_argument("--only", help="one parser, in this process")
    chosen = reader.parse_args()
    if chosen.only:
        fuzz(chosen.only, chosen.seconds)
        return 0
    from fuzz_targets import TARGETS

    broken = []
    for name in TARGETS:
        command = [sys.executable, __file__, str(chosen.seconds), "--only", name]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        runs = [line.split()[-1] for line in done.stderr.splitlines() if "executed_units" in line]
        state = "ok" if done.returncode == 0 else "BROKEN"
        print(f"{name:22} {state:6} {''.join(runs):>10} inputs", flush=True)
        if done.returncode != 0:
            broken.append(name)
            print(done.stderr[-3000:])
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
