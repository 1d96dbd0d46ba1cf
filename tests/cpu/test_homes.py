"""Whoever has no home, or another user's: what is looked for there, and what is said of it."""

from __future__ import annotations

import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from mezzotint.config import load
from mezzotint.models.locate import locate
from mezzotint.types import ModelError


@pytest.fixture
def closed_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home as root's is to others; the tests may run as root, whom no permission stops."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)

    def guarded(real: Callable[..., object]) -> Callable[..., object]:
        def ask(path: Path, *args: object, **options: object) -> object:
            if home in path.parents:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **options)

        return ask

    for name in ("is_file", "exists", "read_text"):
        monkeypatch.setattr(Path, name, guarded(getattr(Path, name)))
    return home


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("closed_home")
def test_a_home_that_is_closed_holds_no_settings() -> None:
    assert load({}, {}).file is None


@pytest.mark.usefixtures("no_home")
def test_without_a_home_there_are_no_settings() -> None:
    assert load({}, {}).file is None


def test_a_model_in_a_closed_home_is_said_to_be_closed(closed_home: Path) -> None:
    with pytest.raises(ModelError, match=r"org--name is closed to this user; set HOME"):
        locate("org/name")
    with pytest.raises(ModelError, match=r"cannot be looked up \(.*Permission denied"):
        locate(str(closed_home / "model"))


@pytest.mark.usefixtures("no_home")
def test_without_a_home_no_model_was_pulled() -> None:
    with pytest.raises(ModelError, match="no home to keep models in; set HOME"):
        locate("org/name")


@pytest.mark.parametrize("model", ["~nobody-of-this-name/model", "x" * 300])
def test_what_can_be_no_path_here_is_a_model_error(model: str) -> None:
    with pytest.raises(ModelError, match="cannot be looked up"):
        locate(model)
