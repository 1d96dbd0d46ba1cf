"""The command without an engine: help, errors, settings, presets."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import BIG, MODEL, WEIGHTS, Hub, serving
from typer.testing import CliRunner

from mezzotint.cli.app import app
from mezzotint.cli.origin import differences
from mezzotint.types import Provenance
from mezzotint.version import __version__

runner = CliRunner()
ROOT = Path(__file__).parents[2]
# Not pydantic: typer itself turns arguments into values with it, in 30 ms.
HEAVY = ("torch", "numpy", "rich", "PIL", "tokenizers", "mezzotint.config")


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the person who runs the tests, and an empty working folder."""
    for name in [name for name in os.environ if name.startswith("MEZZOTINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"mezzotint {__version__}\n")


@pytest.mark.parametrize("command", [[], ["generate"], ["pull"], ["config", "show"], ["doctor"]])
def test_help_fits_in_80_columns(command: list[str]) -> None:
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_list_of_commands_says_each_in_one_whole_line() -> None:
    commands = runner.invoke(app, ["--help"]).stdout.partition("Commands:\n")[2].splitlines()
    assert len(commands) == 10
    assert all(re.fullmatch(r"  [a-z]+ +[A-Z].*[^.]\.", line) for line in commands), commands


def test_help_says_units_and_conventions() -> None:
    text = " ".join(runner.invoke(app, ["generate", "--help"]).stdout.split())
    for phrase in ("0 is off; the usual CFG weight minus 1", "in pixels", "in ms", "-1 draws one"):
        assert phrase in text


def test_help_imports_nothing_heavy_and_takes_at_most_400_ms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "mezzotint", "generate", "--help"]
    traced = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    assert "mezzotint.cli.app" in imported
    assert not imported & set(HEAVY)
    assert min(_cpu_seconds(command) for _ in range(3)) <= 0.4


def _cpu_seconds(command: list[str]) -> float:
    """Processor time, which on an idle machine is the wall time, and on a busy one is not."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no prompt was given"),
        (["  "], "the prompt is empty; say what to draw"),
        (["x", "--size", "100x128"], "width 100 is not a multiple of 16; the nearest"),
        (["x", "--size", "big"], "size 'big' is not WIDTHxHEIGHT in pixels"),
        (["x", "--size", "4096x4096"], "width 4096 is out of range; this model takes 96 to 192"),
        (["x", "--steps", "0"], "steps 0 is out of range; give 1 to"),
        (["x", "--guidance", "nan"], "guidance nan is not a number"),
        (["x", "--guidance", "-1"], r"guidance -1 is out of range; give 0 to 20 \(0 turns it off"),
        (["x", "--guidance", "0", "--negative", "y"], "a negative prompt needs guidance"),
        (["x", "--seed", "-2"], "seed -2 is out of range"),
        (["x", "--seed", str(2**63 - 1), "--n", "2"], "seed 9223372036854775808 is out of range"),
        (["x", "--preset", "nope"], r"preset 'nope' is unknown; .* daily \(日常创作\)"),
        (["x", "--precision", "fp16"], "fp16 cannot hold .* use bf16 or fp32"),
        (["x", "--format", "gif"], "format = 'gif' .*flag.*'png', 'webp' or 'jpeg'"),
        (["x", "--metadata", "some"], "metadata = 'some' .*'full', 'minimal' or 'none'"),
        (["x", "--threads", "0"], "threads = 0 .* greater than or equal to 1"),
        (["x", "--model", "nobody/nothing"], "fetch it with `mezzotint pull nobody/nothing`"),
        (["x", "--model", "nope"], "correct the path, or give an id as organisation/name"),
        (["x", "--model", ""], "model = '' .*at least 1 character"),
        (["x", "--out", "-", "--json"], "both want stdout"),
        (["x", "y", "--out", "-"], "2 pictures do not fit in stdout"),
        (["x", "--n", "2", "--out", "a.png"], "2 pictures do not fit in a.png"),
        (["x", "--out", "a.tiff"], r"choose \.png, \.webp or \.jpg"),
        (["x", "--out", "a.png", "--format", "jpeg"], "named as png but --format says jpeg"),
        (["--from", "nowhere.png"], "nowhere.png cannot be read .*--from"),
        (["--from", __file__], "not a PNG, JPEG or WebP picture"),
        (["--prompts", "nowhere.txt"], "nowhere.txt cannot be read .*--prompts"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: list[str], sentence: str) -> None:
    result = runner.invoke(app, ["generate", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(f"mezzotint: .*{sentence}.*\n", result.stderr), result.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["generate", "x", "--bogus"], ["generate", "x", "--n", "0"], ["nonsense"]]
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert arguments[-1] in result.stderr or "--n" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "x", "--n", "0"], "--n = '0': Input should be greater than or equal to 1"),
        (["generate", "x", "--steps", "few"], "--steps = 'few': Input should be a valid integer.*"),
        (["compare", "--prompts", "513"], "--prompts = '513': .* less than or equal to 512"),
        (["pull", "a/b", "--from", "x"], "--from = 'x': 'x' is not one of 'hf', 'modelscope'"),
        (["keys", "add", "a", "--role", "x"], "--role = 'x': .* 'user', 'admin'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_taken(arguments: list[str], sentence: str) -> None:
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(f"mezzotint: {sentence}\n", result.stderr), result.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\n \n", "holds no prompt"), (b"\xff\xfe", "is not UTF-8 text")],
)
def test_a_prompts_file_must_hold_prompts(content: bytes, sentence: str) -> None:
    Path("prompts.txt").write_bytes(content)
    result = runner.invoke(app, ["generate", "--prompts", "prompts.txt"])
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--prompts", "prompts.txt"],
            r"line 3 of prompts\.txt \(apple apple .* \.\.\.\): the prompt",
        ),
        (["--prompts", "-"], r"line 3 of stdin \(apple apple"),
        (["a cup", "apple " * 600], r"prompt 2 \(apple apple"),
        (["apple " * 600], "mezzotint: the prompt has"),
    ],
)
def test_a_long_prompt_is_named_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    content = f"a cup\n\n{'apple ' * 600}\na dog\n".encode()
    Path("prompts.txt").write_bytes(content)
    monkeypatch.delattr("mezzotint.engine.engine.Engine")
    result = runner.invoke(app, ["generate", *arguments], input=content)
    assert result.exit_code == 2
    assert re.match(said if said.startswith("mezzo") else f"mezzotint: {said}", result.stderr)
    assert result.stderr.count("\n") == 1


def test_stdin_without_a_prompt_is_named() -> None:
    result = runner.invoke(app, ["generate", "--prompts", "-"], input=b"")
    assert result.stderr == "mezzotint: stdin holds no prompt; write one a line\n"


def test_config_show_says_where_each_value_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mezzotint.toml").write_text('producer = "ACME"\nformat = "webp"\nthreads = 3\n')
    monkeypatch.setenv("MEZZOTINT_FORMAT", "jpeg")
    monkeypatch.setenv("MEZZOTINT_THREADS", "2")
    arguments = ["config", "show", "--threads", "1"]
    document = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    settings = document["settings"]
    assert document["file"] == "mezzotint.toml"
    assert settings["threads"] == {"value": 1, "source": "flag"}
    assert settings["format"] == {"value": "jpeg", "source": "environment"}
    assert settings["producer"] == {"value": "ACME", "source": "file"}
    assert settings["output"] == {"value": "outputs", "source": "default"}
    text = runner.invoke(app, arguments).stdout
    assert re.search(r"^format +jpeg +environment \(MEZZOTINT_FORMAT\)$", text, re.MULTILINE)
    assert re.search(r"^threads +1 +flag *$", text, re.MULTILINE)


def test_wrong_settings_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_SLOTS", "many")
    result = runner.invoke(app, ["config", "show"])
    assert result.exit_code == 2
    where = r"\(from the environment, MEZZOTINT_SLOTS\)"
    assert re.fullmatch(rf"mezzotint: slots = 'many' {where}: .*\n", result.stderr)


def test_presets_lists_names_in_both_languages_and_the_limits() -> None:
    result = runner.invoke(app, ["presets"])
    assert result.exit_code == 0
    assert re.search(r"^quick +快速预览 +Quick preview +128x128", result.stdout, re.MULTILINE)
    assert "multiples of 16, 96 to 192 a side" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_narrow_terminal_loses_no_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = runner.invoke(app, ["presets"]).stdout
    row = "batch +批量生产 +Batch production +128x128 +8 +0 +random"
    assert re.search(f"^{row} *$", text, re.MULTILINE), text


def test_differences_name_what_changed_and_nothing_else() -> None:
    here = Provenance(
        model="m", weights="a" * 64, precision="fp32", device="cpu", versions=(("torch", "2.13"),)
    )
    there = Provenance(
        model="m", weights="b" * 64, precision="fp32", device="H200", versions=(("torch", "2.11"),)
    )
    assert differences(here, here) == []
    assert differences(there, here) == [
        "weights was bbbbbbbbbbbb and is aaaaaaaaaaaa here; the bytes may differ",
        "device was H200 and is cpu here; the bytes may differ",
        "torch version was 2.11 and is 2.13 here; the bytes may differ",
    ]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", fake.url)
        yield fake


@pytest.mark.parametrize("source", ["hf", "modelscope"])
def test_pull_prints_the_folder_and_how_to_go_on(hub: Hub, source: str) -> None:
    result = runner.invoke(app, ["pull", MODEL, "--from", source])
    assert result.exit_code == 0, result.output
    folder = Path(result.stdout.strip())
    assert folder == Path.home() / ".cache/mezzotint/models/Tongyi-MAI--Z-Image-Turbo"
    assert (folder / BIG).read_bytes() == WEIGHTS
    *progress, hint = result.stderr.splitlines()
    assert progress[-1] == "0.00 of 0.00 GB"
    assert hint == f'now: mezzotint generate --model {MODEL} "a red apple"'


def test_pull_to_a_folder_names_it_as_the_model(hub: Hub) -> None:
    result = runner.invoke(app, ["pull", MODEL, "--to", "here"])
    assert result.stdout == "here\n"
    assert 'generate --model here "a red apple"' in result.stderr
    assert Path("here", BIG).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bad"], "'bad' is no model id; give it as organisation/name"),
        (["nobody/nothing"], "nobody/nothing"),
    ],
)
def test_pull_errors_are_one_sentence(hub: Hub, arguments: list[str], sentence: str) -> None:
    result = runner.invoke(app, ["pull", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(f"mezzotint: .*{sentence}.*\n", result.stderr)
