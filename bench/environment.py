"""What a row of results must say about where it came from."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def environment(module: str, commit: str | None = None) -> dict[str, str]:
    """Command, GPU, versions and commit; without history `commit` or $COMMIT names it."""
    return {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        "machine": _machine(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "flash_attn_4": _version("flash-attn-4"),
        "python": platform.python_version(),
        "commit": commit or os.environ.get("COMMIT") or described() or "not committed",
    }


def python_path() -> str:
    """Of a process that measures: this tree first, then whatever the caller found packages in."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def need_gpu() -> None:
    """End the command, with 1, where torch sees no GPU."""
    if not torch.cuda.is_available():
        sys.exit("no NVIDIA GPU is visible to torch: run this on a machine with one")


def described() -> str:
    """The commit as git tells it; empty where there is no git, or no history."""
    if shutil.which("git") is None:
        return ""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def _machine() -> str:
    """One start of one machine: rows are comparable within it."""
    if not _BOOT_ID.is_file():
        return platform.node()
    first, second = (_BOOT_ID.read_text().strip() for _ in range(2))
    # Some sandboxes draw a new one at every reading.
    return first[:8] if first == second else platform.node()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
