"""`mezzotint serve` before it serves: what it refuses, and in which words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import forget_logs
from typer.testing import CliRunner

from mezzotint.cli import serve as command
from mezzotint.cli.app import app
from mezzotint.config import KEY_VARIABLE, load
from mezzotint.jobs.database import Database
from mezzotint.jobs.keys import list_keys
from mezzotint.jobs.place import DataFolder
from mezzotint.server.keys import Caller
from mezzotint.server.knobs import Live
from mezzotint.server.listener import address_of, listen
from mezzotint.server.tuning import Tuning
from mezzotint.types import ConfigError, ResourceError


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))  # the default data folder is below it
    monkeypatch.chdir(tmp_path)
    yield
    forget_logs()


def refused(*arguments: str) -> str:
    """The one sentence that a command ends with."""
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 2, result.output
    assert result.output.count("\n") == 1
    assert result.output.startswith("mezzotint: ")
    return result.output


def test_a_busy_port_names_the_remedy() -> None:
    with listen("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        sentence = refused("--port", str(port))
    assert f"port {port} is in use" in sentence
    assert f"--port {port + 1}" in sentence


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pics.example"])  # noqa: S104
def test_other_machines_need_a_key(host: str) -> None:
    assert KEY_VARIABLE in refused("--host", host)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(DataFolder(tmp_path).database) as database:
        yield database


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_none(host: str, database: Database) -> None:
    with command._open_keys(None, host, database) as keys:
        assert not keys.required


def test_the_first_key_closes_an_open_server(tmp_path: Path, database: Database) -> None:
    with command._open_keys(None, "127.0.0.1", database) as keys:
        assert not keys.required
        token = keys_command("add", "alice", "--data-dir", str(tmp_path))
        assert keys.required
        assert keys.find(token)


def test_stored_settings_count_where_nothing_else_gives_a_value(database: Database) -> None:
    Tuning(Live(), database).change({"producer": "公司", "caption_cache_mib": 7})
    loaded = load({"caption_cache_mib": 9}, {})
    config = command._completed(loaded, database)
    assert (config.producer, config.caption_cache_mib) == ("公司", 9)
    assert command._fixed(loaded, max_queue=None) == {"caption_cache_mib"}
    given = load({}, {"MEZZOTINT_PRODUCER": "x"})
    assert command._fixed(given, max_queue=5, steps_range="off") == {
        "producer",
        "max_queue",
        "steps_range",
    }


def test_keys_come_from_the_flag_and_the_environment(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "from-environment")
    with command._open_keys("from-flag", "0.0.0.0", database) as keys:  # noqa: S104
        assert keys.required
        assert keys.find("from-environment")
        assert keys.find("from-flag")
        assert keys.find("") is None
    monkeypatch.setenv(KEY_VARIABLE, "")
    empty = command._open_keys(None, "127.0.0.1", database)
    with pytest.raises(ConfigError, match="empty"):
        empty.__enter__()


def keys_command(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["keys", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_stored_keys_open_the_server_and_close_it(tmp_path: Path, database: Database) -> None:
    data = ("--data-dir", str(tmp_path))
    token = keys_command("add", "alice", "--role", "admin", *data)
    with command._open_keys("from-flag", "0.0.0.0", database) as keys:  # noqa: S104
        assert keys.required
        assert keys.find(token) == Caller("alice", "admin", token.split("_")[1])
        assert keys.find("from-flag") == Caller("operator", "admin")
        assert keys.find(token[:-1] + "x") is None
        bob = keys_command("add", "bob", *data)  # known at once
        assert keys.find(bob) == Caller("bob", "user", bob.split("_")[1])
        keys_command("revoke", bob.split("_")[1], *data)
        assert keys.find(bob) is None
    assert "used never" not in keys_command("list", *data).splitlines()[0]
    assert len(database.read(list_keys)) == 2  # closing the keys leaves the database open


def test_revoking_the_last_key_does_not_open_the_server(tmp_path: Path, database: Database) -> None:
    token = keys_command("add", "alice", "--data-dir", str(tmp_path))
    keys_command("revoke", token.split("_")[1], "--data-dir", str(tmp_path))
    with command._open_keys(None, "127.0.0.1", database) as keys:
        assert keys.required
        assert keys.find(token) is None


def test_one_server_holds_a_data_folder(tmp_path: Path) -> None:
    with command._open_history(tmp_path) as history:
        assert history.gallery.files.outputs == tmp_path / "outputs"
        assert "another server uses" in refused("--port", "0", "--data-dir", str(tmp_path))
    with command._open_history(tmp_path):
        pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "no/such"), "mezzotint pull no/such"),
        (("--root-path", "pictures"), "--root-path"),
        (("--root-path", "/pictures/"), "--root-path"),
        (("--root-path", "/our pictures"), "--root-path"),
        (("--root-path", "/pictures?all"), "--root-path"),
        (("--root-path", "/a/../b"), "--root-path"),
        (("--allowed-host", "*.example"), "--allowed-host"),
        (("--allowed-host", "a.example:80"), "--allowed-host"),
        (("--host", "192.0.2.1", "--api-key", "k"), "--host 192.0.2.1"),
        (("--api-key", "two words"), "API key"),
        (("--device", "tpu"), "device"),
        (("--compat", "comfyui"), "--compat 'comfyui'"),
    ],
)
def test_what_cannot_work_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(*arguments, "--port", "0")


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    result = CliRunner().invoke(app, ["serve", "--port", "0", "--model", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert "mezzotint: serving at http://127.0.0.1:" in result.output
    assert result.output.splitlines()[-1].startswith("mezzotint: ")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "uvicorn" else name)
    assert "pip install 'mezzotint[serve]'" in refused()


def test_names_for_clients_hold_no_path(tmp_path: Path) -> None:
    assert command._aliases(None) == ()
    assert command._aliases(str(tmp_path)) == ()
    assert command._aliases("Tongyi-MAI/Z-Image-Turbo") == (
        "Tongyi-MAI/Z-Image-Turbo",
        "Z-Image-Turbo",
    )


@pytest.mark.parametrize(
    ("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_the_address_that_is_printed(host: str, start: str) -> None:
    try:
        server = listen(host, 0)
    except (ConfigError, ResourceError):
        pytest.skip(f"this machine has no {host}")
    with server:
        assert address_of(server) == f"{start}{server.getsockname()[1]}"


def test_an_open_address_is_printed_as_one_to_open() -> None:
    with listen("0.0.0.0", 0) as server:  # noqa: S104
        assert address_of(server).startswith("http://127.0.0.1:")


def test_help_is_quick_and_complete() -> None:
    start = time.monotonic()
    text = CliRunner().invoke(app, ["serve", "--help"]).output
    assert time.monotonic() - start < 2
    options = ("--host", "--port", "--api-key", "--root-path", "--allowed-host")
    for option in (*options, "--max-queue", "--steps-range"):
        assert option in text


@pytest.mark.parametrize(
    "text", ["4", "4-", "-4", "9-8", "0-8", "4 - 8", "4-8 ", "４-８", "", "on"]
)
def test_a_range_of_steps_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--steps-range .*give off, or two numbers as 4-16"):
        command._checked_range(text)
    assert command._checked_range("4-8") == "4-8"
    assert command._checked_range(None) == "off"
