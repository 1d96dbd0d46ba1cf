"""Programs beside this file that put Triton in a state which a process cannot leave again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")


def printed(program: str, *arguments: str) -> list[dict[str, Any]]:
    """Run one. -> the JSON rows that it printed."""
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]
