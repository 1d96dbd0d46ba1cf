"""`mezzotint keys`: made, listed, ended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mezzotint.cli.app import app
from mezzotint.jobs import keys
from mezzotint.jobs.database import Database
from mezzotint.jobs.place import DataFolder

runner = CliRunner()


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    place = ["--data-dir", str(tmp_path)]
    made = runner.invoke(app, ["keys", "add", "Ada", "--role", "admin", *place])
    assert made.exit_code == 0
    token = made.stdout.strip()
    id = token.split("_")[1]
    with Database(DataFolder(tmp_path).database) as database:
        key = database.read(keys.verify, token)
        assert key is not None
        assert (key.id, key.name, key.role) == (id, "Ada", "admin")
    listed = runner.invoke(app, ["keys", "list", *place]).stdout
    assert re.fullmatch(rf"{id}  admin  made \d{{4}}-\d\d-\d\d  used never +Ada\n", listed)
    assert token.split("_")[2] not in listed
    assert "revoked 2" in runner.invoke(app, ["keys", "revoke", id, *place]).stdout
    with Database(DataFolder(tmp_path).database) as database:
        assert database.read(keys.verify, token) is None
    assert "revoked 2" in runner.invoke(app, ["keys", "list", *place]).stdout


def test_no_keys_says_how_to_make_one(tmp_path: Path) -> None:
    Database(DataFolder(tmp_path).database).close()
    result = runner.invoke(app, ["keys", "list", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert "mezzotint keys add" in result.stderr


@pytest.mark.parametrize("command", [["list"], ["revoke", "abc"]])
def test_a_mistyped_folder_is_named_and_not_made(tmp_path: Path, command: list[str]) -> None:
    result = runner.invoke(app, ["keys", *command, "--data-dir", str(tmp_path / "typo")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{tmp_path / 'typo'} holds no history" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["keys", "list"], ["keys", "add", "x"], ["serve"]])
def test_an_empty_folder_name_is_not_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, [*command, "--data-dir", ""])
    assert result.exit_code == 2
    assert "Invalid value for '--data-dir': it is empty; name a folder" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "nobody"], "there is no key 'nobody'"),
        (["add", " "], "printable"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    Database(DataFolder(tmp_path).database).close()
    result = runner.invoke(app, ["keys", *arguments, "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = runner.invoke(app, ["keys", "list", "--data-dir", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert "--data-dir" in result.stderr


@pytest.mark.parametrize("command", [[], ["add"], ["list"], ["revoke"]])
def test_help_fits_in_80_columns(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = runner.invoke(app, ["keys", *command, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
