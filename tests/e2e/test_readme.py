"""Every command and example of the READMEs runs, the two make commands aside."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

READY = "http://127.0.0.1:7860/ready"
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [(kind, code) for kind, code in BLOCK.findall(text) if not code.startswith("make ")]


def script(kind: str, code: str) -> list[str]:
    return ["sh", "-eu", "-c", code] if kind == "sh" else [sys.executable, "-c", code]


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path}


@contextmanager
def serving(code: str, folder: Path) -> Iterator[None]:
    """Run a server's block in the background until it answers that it is ready."""
    with (folder / "serve.log").open("w") as log:
        command = ["sh", "-eu", "-c", f"exec {code}"]
        home = environment() | {"HOME": str(folder)}  # the default data folder is below it
        server = subprocess.Popen(command, cwd=folder, env=home, stdout=log, stderr=log)
    try:
        for _ in range(240):
            assert server.poll() is None, (folder / "serve.log").read_text()
            with contextlib.suppress(OSError):
                urllib.request.urlopen(READY, timeout=5).close()
                break
            time.sleep(0.25)
        yield
    finally:
        server.terminate()
        assert server.wait(60) == 0


def test_blocks_run(tmp_path: Path) -> None:
    found = blocks("README.md")
    assert len(found) >= 5
    with ExitStack() as stack:
        for kind, code in found:
            if code.startswith("mezzotint serve"):
                stack.enter_context(serving(code, tmp_path))
                continue
            done = subprocess.run(
                script(kind, code),
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    for name in ("apple.png", "served.png"):
        assert (tmp_path / name).stat().st_size > 1000
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_the_chinese_readme_shows_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        # comments are translated, commands are not
        return [re.sub(r"#.*", "", code) for _, code in blocks(name)]

    assert [c.split() for c in commands("README.zh.md")] == [
        c.split() for c in commands("README.md")
    ]
