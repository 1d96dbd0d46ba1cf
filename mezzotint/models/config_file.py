"""A model's JSON files: bounded, plain values, held against what the tensors say."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mezzotint.models.safetensors_file import AGAIN
from mezzotint.types import ModelError

MAX_CONFIG_BYTES: Final = 2**20
MAX_INDEX_BYTES: Final = 16 * 2**20

_MAX_SIZE = 2**16
_CODE_KEYS = ("auto_map", "custom_pipeline", "trust_remote_code")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A JSON object and where it came from."""

    path: Path
    values: dict[str, object]

    def only(self, key: str, *allowed: object) -> None:
        """ModelError if the file gives `key` a value that is not allowed."""
        value = self.values.get(key, allowed[0])
        if not any(_same(value, one) for one in allowed):
            raise ModelError(
                f"{self.path} says {key} is {short(value)} where only "
                f"{' or '.join(short(one) for one in allowed)} is supported; take another model"
            )

    def agree(self, key: str, found: object) -> None:
        """ModelError if the file gives `key` another value than the tensors have."""
        value = self.values.get(key, found)
        if not _same(value, found):
            raise ModelError(
                f"{self.path} says {key} is {short(value)} where the tensors have "
                f"{short(found)}; {AGAIN}"
            )

    def number(self, key: str, default: float, most: float) -> float:
        """A finite number above 0 and up to `most`. ModelError for another value."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise ModelError(
                f"{self.path} says {key} is {short(value)} where a number above 0 and up to "
                f"{most:g} was expected; {AGAIN}"
            )
        return float(value)

    def offset(self, key: str, default: float) -> float:
        """A finite number of either sign, or null for none. ModelError for another value."""
        value = self.values.get(key, default)
        if value is None:
            return 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _MAX_SIZE:
            raise ModelError(f"{self.path} says {key} is {short(value)}, no number; {AGAIN}")
        return float(value)

    def size(self, key: str, default: int) -> int:
        """A whole number from 1 to 65536. ModelError for another value."""
        return self._sizes(key, [self.values.get(key, default)])[0]

    def sizes(self, key: str, default: tuple[int, int, int]) -> tuple[int, int, int]:
        """Three whole numbers from 1 to 65536. ModelError for another value."""
        values = self.values.get(key, list(default))
        if not isinstance(values, list) or len(values) != 3:
            raise ModelError(f"{self.path} says {key} is {short(values)}, not three sizes; {AGAIN}")
        a, b, c = self._sizes(key, values)
        return a, b, c

    def _sizes(self, key: str, values: list[object]) -> list[int]:
        sizes = [value for value in values if type(value) is int and 0 < value <= _MAX_SIZE]
        if len(sizes) != len(values):
            raise ModelError(
                f"{self.path} says {key} is {short(self.values[key])} where whole numbers from 1 "
                f"to {_MAX_SIZE} were expected; {AGAIN}"
            )
        return sizes


def read_config(path: Path, max_bytes: int = MAX_CONFIG_BYTES) -> ConfigFile:
    """Read a JSON object. ModelError if it is missing, too large, damaged or asks for code."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); {AGAIN}") from error
    if len(data) > max_bytes:
        raise ModelError(f"{path} is larger than the limit of {max_bytes} bytes; {AGAIN}")
    try:
        values = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON ({error}); {AGAIN}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds no JSON object; {AGAIN}")
    for key in _CODE_KEYS:
        if values.get(key):
            raise ModelError(
                f"{path} asks to run code of its own ({key}), and code from a model folder is "
                "never run; take a model without it"
            )
    return ConfigFile(path, values)


def short(value: object) -> str:
    """A JSON value for an error's sentence: escaped, and cut at 80 characters."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "deeply nested"
    return text if len(text) <= 80 else f"{text[:80]}..."


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
