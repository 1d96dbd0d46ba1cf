"""The one reader of flags, environment and files; it says where each value came from."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# pydantic: one model checks every source alike and words every error the same way.
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
)

from mezzotint.size import Size, parse_size
from mezzotint.types import ConfigError, Format, MetadataLevel

ENVIRONMENT_PREFIX = "MEZZOTINT_"
CONFIG_VARIABLE = "MEZZOTINT_CONFIG"
KEY_VARIABLE = "MEZZOTINT_API_KEY"  # the server's; a secret is no setting to show

_UNITS: dict[str, int] = {"b": 1} | {
    f"{prefix}{ending}": base ** (power + 1)
    for base, ending in ((1000, "b"), (1024, "ib"))
    for power, prefix in enumerate("kmgt")
}

_FP8_ATTENTION = "+attention"

Source = Literal["default", "file", "environment", "flag"]


class Config(BaseModel):
    """Every setting of the engine and the command; frozen."""

    # A worker is given it in JSON, which has no word for the number that means "always pack".
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    model: str | None = Field(
        None, min_length=1, description="folder, single file or id; none: the bundled one"
    )
    variant: Literal["turbo", "base"] | None = Field(
        None, description="which Z-Image a single file holds; folders say it themselves"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto: a GPU if there is one"
    )
    precision: Literal["auto", "fp32", "bf16", "fp8"] = Field(
        "auto", description="auto: bf16 on a GPU, fp32 on the CPU; fp8: the fast one, approximate"
    )
    memory: int | None = Field(
        None, gt=0, description="memory to use, such as 12GiB; none: what is free"
    )
    deterministic: bool = Field(False, description="same bytes for the same request in any company")
    pack_tflop: float | None = Field(
        None,
        ge=0,
        description="TFLOP of steps that may share a forward; none: under load, by the GPU's table",
    )
    attention: Literal["auto", "fa4", "cudnn", "flash", "fp8"] = Field(
        "auto",
        description="the library that attends on a GPU; auto: by the GPU's table; fp8: our own "
        "kernel, approximate",
    )
    graphs: bool = Field(True, description="replay CUDA graphs on a GPU")
    random_weights: Literal["z-image-turbo", "z-image"] | None = Field(
        None, description="a real model's size with random weights, for measuring"
    )
    slots: int = Field(8, ge=1, le=64, description="requests in flight; each holds static memory")
    threads: int | None = Field(None, ge=1, le=256, description="CPU threads; none: all cores")
    caption_cache_mib: int = Field(64, ge=0, le=65536, description="refined captions kept, MiB")
    warm_up: Literal["own"] | tuple[Size, ...] = Field(
        (),
        description="sizes drawn before the first picture is asked for, such as "
        "1024x1024,512x512; own: the model's, on a GPU (what a server does); none",
    )
    file_workers: int = Field(2, ge=1, le=64, description="threads that encode files")
    output: str = Field("outputs", min_length=1, description="folder for pictures")
    format: Format = Field("png", description="file format of pictures")
    metadata: MetadataLevel = Field("full", description="what files say about how they were made")
    producer: str = Field(
        "mezzotint", max_length=200, description="the producer named in AI-content marks"
    )

    @field_validator("memory", mode="before")
    @classmethod
    def _with_unit(cls, value: object) -> object:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_serializer("memory")
    def _as_written(self, value: int | None) -> str | None:
        return None if value is None else format_bytes(value)

    @field_validator("warm_up", mode="before")
    @classmethod
    def _sizes(cls, value: object) -> object:
        if value in ("own", "none"):
            return value if value == "own" else ()
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, Sequence):
            raise ValueError("is no list of sizes; give 1024x1024,512x512 or the like, own or none")
        return tuple(map(_as_size, value))

    @field_serializer("warm_up")
    def _sizes_as_written(self, value: Literal["own"] | tuple[Size, ...]) -> str:
        return value if value == "own" else ",".join(f"{w}x{h}" for w, h in value) or "none"

    @field_validator("precision", mode="before")
    @classmethod
    def _no_fp16(cls, value: object) -> object:
        if value in ("fp16", "float16", "half"):
            raise ValueError(
                "fp16 cannot hold Z-Image's activations (its feed-forward products pass 65504 and "
                "the picture turns black); use bf16 or fp32"
            )
        return value


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A Config and the source of each of its values."""

    config: Config
    sources: Mapping[str, Source]
    file: Path | None  # the configuration file that was read


def name_precision(precision: str, attention: str) -> str:
    """What a picture was computed in, in a word; attention is named where it is approximate."""
    return precision + _FP8_ATTENTION if attention == "fp8" else precision


def read_precision(name: str) -> dict[str, str]:
    """The settings that a name of name_precision stands for."""
    attention = "fp8" if name.endswith(_FP8_ATTENTION) else "auto"
    return {"precision": name.removesuffix(_FP8_ATTENTION), "attention": attention}


def _as_size(value: object) -> object:
    match value:
        case str():
            return parse_size(value)
        case [int(), int()]:
            return value
    raise ValueError(f"size {value!r} is not WIDTHxHEIGHT in pixels; write it as in 1024x768")


def parse_bytes(text: str) -> int:
    """A size such as 12GiB or 800 MB, in bytes; ValueError if it is none."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?) ?([a-z]+)", text.strip(), re.IGNORECASE)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError("is no size; give a number and a unit, such as 12GiB or 800MB")
    return int(float(match[1]) * unit)


def format_bytes(num_bytes: int) -> str:
    """A size in the largest binary unit that divides it, as parse_bytes reads it."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if num_bytes % _UNITS[unit.lower()] == 0:
            return f"{num_bytes // _UNITS[unit.lower()]}{unit}"
    return f"{num_bytes}B"


def make(**values: object) -> Config:
    """A Config from these values and the defaults alone; ConfigError names the wrong one."""
    return _check(values, dict.fromkeys(values, "argument"))


def load(flags: Mapping[str, object], environment: Mapping[str, str] | None = None) -> LoadedConfig:
    """Merge flag > environment > TOML file > default. ConfigError names the value and its source.

    Flags that are None were not given. The file is $MEZZOTINT_CONFIG, or ./mezzotint.toml, or
    ~/.config/mezzotint/config.toml, whichever is found first.
    """
    environment = os.environ if environment is None else environment
    path = _find_file(environment)
    layers: tuple[tuple[Source, Mapping[str, object]], ...] = (
        ("file", _read_file(path) if path else {}),
        ("environment", _read_environment(environment)),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    )
    values: dict[str, Any] = {}
    sources: dict[str, Source] = dict.fromkeys(Config.model_fields, "default")
    for source, layer in layers:
        for name, value in layer.items():
            values[name] = value
            sources[name] = source
    return LoadedConfig(_check(values, sources, path), sources, path)


def _find_file(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(CONFIG_VARIABLE)
    if named:
        if not _may_be_read(Path(named)):
            raise ConfigError(f"{CONFIG_VARIABLE} names {named}, which is no file here; correct it")
        return Path(named)
    # Without a home this stays "~/.config" as it is written, which is no folder.
    home = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    candidates = (Path("mezzotint.toml"), Path(home) / "mezzotint" / "config.toml")
    return next((path for path in candidates if _may_be_read(path)), None)


def _may_be_read(path: Path) -> bool:
    """Whether it is a file; one in a home that is closed to us, as root's is, is not ours."""
    try:
        return path.is_file()
    except OSError:  # or no name that a file can have
        return False


def _read_file(path: Path) -> dict[str, object]:
    try:
        # Some editors of Windows begin a file with a mark of its encoding.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}); correct it") from error


def _read_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable in (CONFIG_VARIABLE, KEY_VARIABLE):
            continue
        values[variable.removeprefix(ENVIRONMENT_PREFIX).lower()] = value
    return values


def _check(values: dict[str, Any], sources: Mapping[str, str], file: Path | None = None) -> Config:
    try:
        return Config(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        source = sources.get(name, "file")
        more = {"file": f" {file}", "environment": f", {ENVIRONMENT_PREFIX}{name.upper()}"}
        where = source + more.get(source, "")
        if problem["type"] == "extra_forbidden":
            known = ", ".join(Config.model_fields)
            raise ConfigError(f"{name} (from the {where}) is no setting; known: {known}") from error
        raise ConfigError(
            f"{name} = {problem['input']!r} (from the {where}): {reason_of(problem)}"
        ) from error


def reason_of(problem: Mapping[str, Any]) -> str:
    """What pydantic says of a value, or the validator's own sentence alone."""
    return str(problem["msg"]).removeprefix("Value error, ")
