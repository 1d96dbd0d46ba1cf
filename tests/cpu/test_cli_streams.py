"""The command where its standard streams are closed, or full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mezzotint.jobs import keys
from mezzotint.jobs.database import Database
from mezzotint.jobs.place import DataFolder

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
FULL = "mezzotint: stdout could not be written (No space left on device); free some space or "


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which $M is the command."""
    environment = {name: v for name, v in os.environ.items() if "MEZZOTINT_" not in name}
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        ["sh", "-c", f'M="{sys.executable} -m mezzotint"; {command}'],
        cwd=folder,
        env=environment | {"HOME": str(folder), "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "command",
    ["--version", "generate --help", "prompts", "config show --json", "generate a --quiet --out -"],
)
def test_a_full_stdout_is_one_sentence(tmp_path: Path, command: str) -> None:
    ended = shell(tmp_path, f"$M {command} >/dev/full")
    assert ended.returncode == 2
    assert ended.stderr.startswith(FULL)
    assert ended.stderr.count("\n") == 1


def test_pictures_stay_where_only_stdout_is_full(tmp_path: Path) -> None:
    ended = shell(tmp_path, "$M generate a --steps 1 --json >/dev/full")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(FULL)
    assert len(list((tmp_path / "outputs").iterdir())) == 1


def test_a_key_that_nobody_saw_does_not_stay(tmp_path: Path) -> None:
    ended = shell(tmp_path, "$M keys add ada --data-dir d >/dev/full")
    assert (ended.returncode, ended.stderr.startswith(FULL)) == (2, True)
    with Database(DataFolder(tmp_path / "d").database) as database:
        (key,) = database.read(keys.list_keys)
    assert key.revoked_us is not None
    ended = shell(tmp_path, "$M keys add ada --data-dir e >&-")
    assert (ended.returncode, "stdout is closed" in ended.stderr) == (2, True)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("generate a --out - >&-", 2, "--out - needs stdout, which is closed"),
        ("generate --prompts - <&-", 2, "holds no prompt"),
        ("generate a --steps 1 2>&-", 0, ""),
        ("generate a --steps 1 --size 0x0 2>&-", 2, ""),
        ("prompts >&-", 0, ""),
    ],
)
def test_a_closed_stream_is_no_traceback(
    tmp_path: Path, command: str, code: int, said: str
) -> None:
    ended = shell(tmp_path, f"$M {command}")
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
