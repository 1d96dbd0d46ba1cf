"""Every command and example of the READMEs runs, the two make commands aside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [(kind, code) for kind, code in BLOCK.findall(text) if not code.startswith("make ")]


def script(kind: str, code: str) -> list[str]:
    return ["sh", "-eu", "-c", code] if kind == "sh" else [sys.executable, "-c", code]


@pytest.mark.parametrize("name", ["README.md"])
def test_blocks_run(name: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = blocks(name)
    assert len(found) >= 3
    for kind, code in found:
        done = subprocess.run(
            script(kind, code),
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "apple.png").stat().st_size > 1000
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_the_chinese_readme_shows_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        # comments are translated, commands are not
        return [re.sub(r"#.*", "", code) for _, code in blocks(name)]

    assert [c.split() for c in commands("README.zh.md")] == [
        c.split() for c in commands("README.md")
    ]
