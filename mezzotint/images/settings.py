"""The settings of a picture that any program made, as ours names them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mezzotint.types import MAX_SEED, RequestError

MAX_SIDE = 65_536
MAX_STEPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """None where a file does not say. `guidance` has diffusers' meaning: CFG - 1, and 0 is off."""

    prompt: str
    negative_prompt: str = ""
    width: int | None = None  # px
    height: int | None = None  # px
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    model: str | None = None


def from_cfg(weight: float | None) -> float | None:
    """Guidance of a CFG weight; weights below 1, which ours has no equal of, are off too."""
    return None if weight is None else max(weight - 1.0, 0.0)


def as_side(value: object) -> int | None:
    """A side in px, if it is one."""
    return as_integer(value, 1, MAX_SIDE)


def as_steps(value: object) -> int | None:
    """A number of steps, if it is one."""
    return as_integer(value, 1, MAX_STEPS)


def as_seed(value: object) -> int | None:
    """A seed, if it is one that our noise can be drawn from."""
    return as_integer(value, 0, MAX_SEED)


def as_integer(value: object, least: int, most: int) -> int | None:
    """The whole number that a value is or spells, if it is within both bounds."""
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 25 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        return None
    return value


def as_number(value: object) -> float | None:
    """The finite number that a value is or spells, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_text(value: object) -> str:
    """A text as it is, empty for anything else."""
    return well_formed(value) if isinstance(value, str) else ""


def well_formed(text: str) -> str:
    """A text that UTF-8 can hold: halves of characters, which JSON can spell, are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_object(text: str, where: str) -> Mapping[str, object]:
    """A JSON object; RequestError for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the picture's {where} is not sound JSON") from error
    if not isinstance(value, dict):
        raise RequestError(f"the picture's {where} is not a JSON object")
    return value


def inner(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    """An object within an object; empty where there is none."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}
