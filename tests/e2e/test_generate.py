"""The command as people run it: a process of its own, its signals, its exit codes, its files."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mezzotint.images.file import read

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "mezzotint")
QUICK = ("--size", "96x96", "--steps", "2", "--guidance", "0")
LIMIT_S = 120


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEZZOTINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def run(
    *arguments: str, setup: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, preexec_fn=setup, timeout=LIMIT_S, check=False
    )


def test_a_prompt_becomes_a_picture_and_the_picture_itself_again() -> None:
    made = run("generate", "绿草地上的一个红苹果", "--seed", "42", "--profile")
    assert made.returncode == 0, made.stderr.decode()
    path, *table = made.stdout.decode().splitlines()
    assert path == "outputs/绿草地上的一个红苹果-s42-0.png"
    assert table[-1].startswith("clock: host")
    again = run("generate", "--from", path, "--out", "-")
    assert again.returncode == 0, again.stderr.decode()
    assert again.stdout == Path(path).read_bytes()
    assert b"may differ" not in again.stderr


def test_a_file_of_prompts_is_one_batch() -> None:
    Path("prompts.txt").write_text("a red apple\n一只猫\n", encoding="utf-8")
    result = run("generate", "--prompts", "prompts.txt", "--seed", "1", "--json", *QUICK)
    assert result.returncode == 0, result.stderr.decode()
    paths = [entry["path"] for entry in json.loads(result.stdout)["pictures"]]
    assert paths == ["outputs/a-red-apple-s1-0.png", "outputs/一只猫-s1-0.png"]
    assert all(Path(path).is_file() for path in paths)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_within_a_step_and_keeps_finished_pictures(
    number: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "generate", "a red apple", "--n", "200", "--seed", "1", "--steps", "40"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hear_signals,
    )
    assert process.stderr is not None
    assert any(b"[1/200]" in line for line in process.stderr)  # the first picture is written
    time.sleep(0.3)  # into the second
    sent = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=LIMIT_S)
    assert time.monotonic() - sent < 5  # a picture takes 40 steps; leaving Python takes a while
    assert process.returncode == code, stderr.decode()
    paths = stdout.decode().splitlines()
    assert 1 <= len(paths) < 200
    assert f"stopped; {len(paths)} of 200 were finished" in stderr.decode()
    assert "Traceback" not in stderr.decode()
    assert sorted(paths) == sorted(map(str, Path("outputs").iterdir()))
    for path in paths:
        recipe, _ = read(Path(path).read_bytes())
        assert f"-s{recipe.seed}-" in path


def _hear_signals() -> None:
    # Test runners started in the background ignore SIGINT, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_no_room_on_disk_is_one_sentence_and_leaves_nothing() -> None:
    result = run("generate", "a red apple", "--quiet", *QUICK, setup=_small_files)
    assert result.returncode == 2
    sentence = result.stderr.decode()
    assert sentence.startswith("mezzotint: no room for outputs/a-red-apple-s")
    assert sentence.count("\n") == 1
    assert list(Path("outputs").iterdir()) == []


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*COMMAND, "generate", "a cup", "--quiet", "--out", "-", *QUICK],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr.decode().startswith("mezzotint: stdout could not be written")
    assert result.stderr.count(b"\n") == 1


def test_bad_input_exits_with_2_and_makes_no_folder() -> None:
    result = run("generate", "a cup", "--size", "100x100")
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode().startswith("mezzotint: width 100 is not a multiple of 16")
    assert list(Path().iterdir()) == []
