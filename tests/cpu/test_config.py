"""Configuration: precedence, sources, and errors that say what to correct."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mezzotint.config import Config, load, make
from mezzotint.types import ConfigError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('slots = 2\nthreads = 3\nproducer = "工作室"\n', encoding="utf-8")
    environment = {
        "MEZZOTINT_CONFIG": str(file),
        "MEZZOTINT_THREADS": "5",
        "MEZZOTINT_SLOTS": "6",
        "XDG_CONFIG_HOME": str(tmp_path),
        "HOME": "/nowhere",
    }
    loaded = load({"slots": 4, "threads": None}, environment)
    assert (loaded.config.slots, loaded.sources["slots"]) == (4, "flag")
    assert (loaded.config.threads, loaded.sources["threads"]) == (5, "environment")
    assert (loaded.config.producer, loaded.sources["producer"]) == ("工作室", "file")
    assert (loaded.config.device, loaded.sources["device"]) == ("auto", "default")
    assert loaded.file == file


def test_a_file_in_the_working_folder_is_found(tmp_path: Path) -> None:
    Path("mezzotint.toml").write_text("slots = 3\n")
    assert load({}, {"XDG_CONFIG_HOME": str(tmp_path / "none")}).config.slots == 3


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"MEZZOTINT_SLOTS": "0"}, ["slots", "'0'", "environment", "greater than or equal to 1"]),
        ({"MEZZOTINT_SLOT": "4"}, ["slot", "environment", "no setting", "slots"]),
        ({"MEZZOTINT_PRECISION": "fp16"}, ["fp16", "65504", "bf16 or fp32"]),
        ({"MEZZOTINT_MODEL": ""}, ["model = ''", "environment", "at least 1"]),
        ({"MEZZOTINT_DEVICE": "tpu"}, ["device", "'tpu'", "cuda"]),
        ({"MEZZOTINT_CONFIG": "/nowhere/x.toml"}, ["MEZZOTINT_CONFIG", "/nowhere/x.toml"]),
        ({"MEZZOTINT_CONFIG": "x" * 400}, ["MEZZOTINT_CONFIG", "xxx", "no file here"]),
    ],
)
def test_errors_name_value_source_and_remedy(environment: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load({}, {"XDG_CONFIG_HOME": "/nowhere"} | environment)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["slots = 0", "slot = 1"])
def test_errors_name_the_file(line: str) -> None:
    Path("mezzotint.toml").write_text(f"{line}\n")
    with pytest.raises(ConfigError, match=r"\(from the file mezzotint\.toml\)"):
        load({}, {"XDG_CONFIG_HOME": "/nowhere"})


def test_broken_toml_is_one_sentence() -> None:
    Path("mezzotint.toml").write_text("slots = = 3\n")
    with pytest.raises(ConfigError, match=r"mezzotint\.toml cannot be read as TOML"):
        load({}, {"XDG_CONFIG_HOME": "/nowhere"})


def test_a_file_may_begin_with_a_mark_of_its_encoding() -> None:
    Path("mezzotint.toml").write_text("slots = 3\n", encoding="utf-8-sig")
    assert load({}, {"XDG_CONFIG_HOME": "/nowhere"}).config.slots == 3


def test_a_file_lists_sizes_as_people_write_them() -> None:
    Path("mezzotint.toml").write_text('warm_up = ["1024x1024", [512, 768]]\n')
    config = load({}, {"XDG_CONFIG_HOME": "/nowhere"}).config
    assert config.warm_up == ((1024, 1024), (512, 768))


@pytest.mark.parametrize("value", [5, [[128]], ["own"], [128, 128], None, {"width": 128}])
def test_what_is_no_list_of_sizes_is_told_how_one_looks(value: object) -> None:
    with pytest.raises(ConfigError, match="1024x"):
        make(warm_up=value)


def test_the_servers_key_is_no_setting() -> None:
    environment = {"XDG_CONFIG_HOME": "/nowhere", "MEZZOTINT_API_KEY": "secret"}
    assert "secret" not in str(load({}, environment))


def test_make_speaks_of_arguments_and_of_no_flag() -> None:
    with pytest.raises(ConfigError, match=r"^slots = 0 \(from the argument\): "):
        make(slots=0)
    with pytest.raises(ConfigError, match=r"^steps \(from the argument\) is no setting"):
        make(steps=8)


def test_make_takes_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEZZOTINT_SLOTS", "3")
    assert make().slots == Config().slots == 8
    with pytest.raises(ConfigError, match="no setting"):
        make(slotz=3)


def test_json_keeps_that_all_is_packed() -> None:
    config = make(pack_tflop="inf")
    assert Config.model_validate_json(config.model_dump_json()).pack_tflop == math.inf


@settings(suppress_health_check=[HealthCheck.too_slow])  # its first text takes a second
@given(
    st.dictionaries(
        st.sampled_from([*Config.model_fields, "nonsense", "__class__"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        max_size=5,
    )
)
def test_any_values_make_a_config_or_a_sentence(values: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):  # any other exception fails the test
        config = make(**values)
        assert 1 <= config.slots <= 64
        assert config.precision in ("auto", "fp32", "bf16")
