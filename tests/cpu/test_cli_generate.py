"""The command with the bundled model, in this process: files, reports, batches, remakes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner, Result

from mezzotint.cli import writing
from mezzotint.cli.app import app
from mezzotint.images.file import encode, read
from mezzotint.types import Provenance, Recipe, ResourceError

runner = CliRunner()
QUICK = ("--size", "96x96", "--steps", "2", "--guidance", "0")


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEZZOTINT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def generate(*arguments: str, input: bytes | None = None) -> Result:
    return runner.invoke(app, ["generate", *arguments], input=input)


def test_a_chinese_prompt_makes_a_picture_with_a_readable_name_and_a_stage_table() -> None:
    result = generate("绿草地上的一个红苹果", "--seed", "7", "--profile", *QUICK)
    assert result.exit_code == 0, result.output
    path, *table = result.stdout.splitlines()
    assert path == "outputs/绿草地上的一个红苹果-s7-0.png"
    with Pillow.open(path) as picture:
        assert picture.size == (96, 96)
    recipe, _ = read(Path(path).read_bytes())
    assert (recipe.prompt, recipe.seed, recipe.steps) == ("绿草地上的一个红苹果", 7, 2)
    assert [row.split("  ")[0] for row in table[:-1]] == [
        *("stage", "wait in the queue", "encode the prompt", "denoise", "", "decode the picture"),
        *("encode the file", "together"),
    ]
    numbers = {row.split("  ")[0]: float(row.split()[-1]) for row in table[1:-1]}
    assert 0 < numbers["denoise"] < numbers["together"]
    assert re.fullmatch(r"clock: host; start [\d.]+ s, 1 picture in [\d.]+ s", table[-1])
    notes, line = result.stderr.splitlines()
    assert "bundled" in notes
    assert "mezzotint pull Tongyi-MAI/Z-Image-Turbo" in notes
    assert line == f"[1/1] {path}"


def test_a_batch_from_arguments_and_stdin_takes_consecutive_seeds() -> None:
    result = generate(
        "a cup",
        *("--prompts", "-", "--n", "2", "--seed", "5", "--quiet", "--out", "new/", *QUICK),
        input="一只猫\r\n\n a cup \n".encode(),
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == [
        *("a-cup-s5-0.png", "a-cup-s6-0.png", "一只猫-s5-0.png", "一只猫-s6-0.png"),
        *("a-cup-s5-1.png", "a-cup-s6-1.png"),
    ]
    data = {name: Path("new", name).read_bytes() for name in names}
    assert data["a-cup-s5-0.png"] == data["a-cup-s5-1.png"]
    assert len(set(data.values())) == 4


def test_json_describes_every_picture_and_is_all_there_is() -> None:
    result = generate("a cup", "--n", "2", "--seed", "-1", "--format", "webp", "--json", *QUICK)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert document["interrupted"] is False
    first, second = document["pictures"]
    assert second["recipe"]["seed"] == first["recipe"]["seed"] + 1
    for entry in (first, second):
        data = Path(entry["path"]).read_bytes()
        assert entry["path"].endswith(".webp")
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        recipe, provenance = read(data)
        assert entry["recipe"] == {name: getattr(recipe, name) for name in recipe.__slots__}
        assert entry["provenance"]["weights"] == provenance.weights
        assert entry["provenance"]["versions"] == dict(provenance.versions)
        assert set(entry["stage_ms"]) == {"queue", "encode", "denoise", "decode", "file"}


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_from_makes_the_same_bytes_in_the_same_format(format: str) -> None:
    made = generate(
        *("a cup", "--seed", "3", "--format", format, "--out", "first", "--size", "96x112"),
        *("--steps", "2", "--guidance", "1", "--negative", "blue", "--guidance-truncation", "0.9"),
    )
    first = Path(made.stdout.strip())
    again = generate("--from", str(first), "--out", "again")
    assert again.exit_code == 0, again.output
    assert Path(again.stdout.strip()).read_bytes() == first.read_bytes()
    assert Path(again.stdout.strip()).name == first.name
    assert "may differ" not in again.stderr


def test_from_keeps_the_recorded_precision_and_options_beside_it_win() -> None:
    made = generate("a cup", "--seed", "3", "--precision", "bf16", "--out", "a.png", *QUICK)
    assert made.exit_code == 0, made.output
    same = generate("--from", "a.png", "--out", "b.png")
    assert "may differ" not in same.stderr
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    changes = ("--precision", "fp32", "--seed", "4", "--steps", "1")
    generate("--from", "a.png", "--out", "c.webp", *changes)
    recipe, provenance = read(Path("c.webp").read_bytes())
    assert (recipe.prompt, recipe.seed, recipe.steps, recipe.width) == ("a cup", 4, 1, 96)
    assert provenance.precision == "fp32"


def test_from_attends_as_it_was_attended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_ATTENTION", "fp8")
    made = generate("a cup", "--seed", "3", "--precision", "bf16", "--out", "a.png", *QUICK)
    assert made.exit_code == 0, made.output
    assert read(Path("a.png").read_bytes())[1].precision == "bf16+attention"
    monkeypatch.delenv("MEZZOTINT_ATTENTION")
    same = generate("--from", "a.png", "--out", "b.png")
    assert "may differ" not in same.stderr
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_from_says_what_differs_and_does_it_all_the_same() -> None:
    Path("a.png").write_bytes(_made_elsewhere("mezzotint-small", 96))
    result = generate("--from", "a.png", "--out", "b.png", "--precision", "fp32")
    assert result.exit_code == 0
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert [note.split(" was ")[0] for note in notes] == [
        *("note: weights", "note: precision", "note: device", "note: mezzotint version"),
        "note: torch version",
    ]
    assert "note: precision was bf16 and is fp32 here; the bytes may differ" in notes


def test_from_a_picture_of_another_model_names_it() -> None:
    Path("a.png").write_bytes(_made_elsewhere("Z-Image-Turbo", 1024))
    result = generate("--from", "a.png")
    assert result.exit_code == 2
    assert "the picture was made with Z-Image-Turbo, give it as --model" in result.stderr


def test_from_with_a_preset_is_refused() -> None:
    Path("a.png").write_bytes(_made_elsewhere("mezzotint-small", 96))
    result = generate("--from", "a.png", "--preset", "quick")
    assert result.exit_code == 2
    assert "--from already decides what --preset would" in result.stderr


def _made_elsewhere(model: str, side: int) -> bytes:
    recipe = Recipe(
        prompt="a cup",
        negative_prompt="",
        width=side,
        height=side,
        steps=1,
        guidance=0.0,
        guidance_rescale=0.0,
        guidance_truncation=1.0,
        seed=1,
    )
    versions = (("mezzotint", "0.0.1"), ("torch", "2.11.0"))
    provenance = Provenance(
        model=model, weights="0" * 64, precision="bf16", device="H200", versions=versions
    )
    pixels = np.zeros((8, 8, 3), np.uint8)
    return encode(pixels, "png", recipe, provenance, producer="p", level="full")


def test_a_preset_by_its_chinese_name_decides_steps_and_seed() -> None:
    result = generate("a cup", "--preset", "高保真输出", "--steps", "1", "--json")
    recipe = json.loads(result.stdout)["pictures"][0]["recipe"]
    assert (recipe["width"], recipe["seed"], recipe["steps"]) == (128, 42, 1)


def test_stdout_gets_the_bytes_and_nothing_else() -> None:
    result = generate("a cup", "--seed", "1", "--out", "-", "--profile", *QUICK)
    assert result.exit_code == 0
    recipe, _ = read(result.stdout_bytes)
    assert recipe.prompt == "a cup"
    assert result.stdout_bytes.endswith(b"IEND\xaeB`\x82")
    assert "denoise" in result.stderr
    assert list(Path().iterdir()) == []


def test_metadata_none_hides_the_prompt() -> None:
    generate("a secret cup", "--out", "a.png", "--metadata", "none", *QUICK)
    assert b"secret" not in Path("a.png").read_bytes()
    result = generate("--from", "a.png")
    assert result.exit_code == 2
    assert "carries no Mezzotint recipe" in result.stderr


def test_an_existing_file_stays_without_force() -> None:
    Path("a.png").write_bytes(b"mine")
    result = generate("a cup", "--out", "a.png", *QUICK)
    assert result.exit_code == 2
    assert "a.png exists; choose another name, or overwrite it with --force" in result.stderr
    assert Path("a.png").read_bytes() == b"mine"
    assert generate("a cup", "--out", "a.png", "--force", *QUICK).exit_code == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_one_wrong_request_stops_all_before_anything_is_written() -> None:
    result = generate("a cup", "apple " * 600, "--quiet", *QUICK)
    assert result.exit_code == 2
    assert re.fullmatch(
        r"mezzotint: prompt 2 \(.*\): the prompt has \d+ tokens .*\n", result.stderr
    )
    assert list(Path().iterdir()) == []


def test_an_error_midway_keeps_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "write_file", _fail_after(1, writing.write_file))
    result = generate("a cup", "--n", "4", "--seed", "1", "--quiet", *QUICK)
    assert result.exit_code == 2
    assert result.stderr == "mezzotint: no room\n"
    assert result.stdout == "outputs/a-cup-s1-0.png\n"
    assert [path.name for path in Path("outputs").iterdir()] == ["a-cup-s1-0.png"]


def _fail_after(num: int, write: Callable[..., bool]) -> Callable[..., bool]:
    calls: list[Path] = []

    def limited(path: Path, data: bytes, *, overwrite: bool) -> bool:
        calls.append(path)
        if len(calls) > num:
            raise ResourceError("no room")
        return write(path, data, overwrite=overwrite)

    return limited


def test_doctor_finds_this_machine_well_and_changes_nothing() -> None:
    result = runner.invoke(app, ["doctor", "--json"])
    document = json.loads(result.stdout)
    by_name = {check["name"]: check for check in document["checks"]}
    assert (result.exit_code, document["ok"]) == (0, True), document
    assert by_name["picture"]["status"] == "pass"
    assert by_name["bundled"]["found"].startswith("mezzotint-small")
    assert by_name["pulled"]["fix"] == "mezzotint pull Tongyi-MAI/Z-Image-Turbo"
    assert list(Path().iterdir()) == []


def test_doctor_tells_a_wrong_setting_once_and_sends_nobody_in_a_circle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEZZOTINT_SLOTS", "many")
    document = json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)
    by_name = {check["name"]: check for check in document["checks"]}
    failed = [name for name, check in by_name.items() if check["status"] == "fail"]
    assert failed == ["settings"]
    assert by_name["settings"]["fix"] == "correct it, or remove it for the default"
    assert by_name["memory"]["found"] == "not planned, as the settings cannot be read"


def test_doctor_says_what_is_wrong_and_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_MODEL", "nobody/nothing")
    monkeypatch.setenv("MEZZOTINT_THREADS", "256")
    Path("outputs").write_bytes(b"")
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    for pattern in (
        r"fail  output    outputs cannot be written to \(Not a directory\)",
        r" {16}fix: choose a folder with --out or MEZZOTINT_OUTPUT",
        r"note  threads   256 for \d+ usable cores",
        r"fail  model     nobody/nothing is neither .*",
        r"2 of 12 failed",
    ):
        assert any(re.fullmatch(pattern, line) for line in lines), (pattern, lines)
    assert max(map(len, lines)) <= 80
