"""A1111's text, which many programs write: prompt, negative prompt, one line of settings."""

from __future__ import annotations

import json
import re
from json import JSONDecodeError

from mezzotint.images.settings import (
    Settings,
    as_number,
    as_seed,
    as_side,
    as_steps,
    from_cfg,
    well_formed,
)
from mezzotint.types import RequestError

MAX_SETTINGS = 200

_SETTINGS_LINE = re.compile(r"Steps: *\d")
_NEGATIVE = "Negative prompt:"
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_DECODER = json.JSONDecoder()


def parse_infotext(text: str) -> Settings:
    """Read the text. RequestError when it has no line of settings."""
    lines = well_formed(text).replace("\r\n", "\n").split("\n")
    place = next((i for i in reversed(range(len(lines))) if _SETTINGS_LINE.match(lines[i])), None)
    if place is None:
        raise RequestError("the picture's parameters have no line that begins with 'Steps:'")
    prompt, negative = _prompts(lines[:place])
    values = split_settings(lines[place])
    size = _SIZE.fullmatch(values.get("Size", ""))
    return Settings(
        prompt=prompt,
        negative_prompt=negative,
        width=as_side(size[1]) if size else None,
        height=as_side(size[2]) if size else None,
        steps=as_steps(values.get("Steps")),
        guidance=from_cfg(as_number(values.get("CFG scale"))),
        seed=as_seed(values.get("Seed")),
        model=values.get("Model"),
    )


def split_settings(line: str) -> dict[str, str]:
    """Split "Key: value, Key: value"; values that hold a comma are quoted as in JSON."""
    values: dict[str, str] = {}
    place, quotes = 0, True
    while len(values) < MAX_SETTINGS:
        colon = line.find(":", place)
        if colon < 0:
            break
        key = line[place:colon].strip(" ,")
        start = colon + 1 + (line[colon + 1 : colon + 2] == " ")
        opens = quotes and line.startswith('"', start)
        value, end = _quoted(line, start) if opens else (None, start)
        if value is None:
            quotes = quotes and not opens  # after one that never ends, look for no more
            comma = line.find(",", start)
            end = len(line) if comma < 0 else comma
            value = line[start:end].strip()
        values.setdefault(key, value)
        place = end + 1
    return values


def _quoted(line: str, start: int) -> tuple[str | None, int]:
    try:
        value, end = _DECODER.raw_decode(line, start)
    except (JSONDecodeError, ValueError):
        return None, start
    return well_formed(str(value)), end


def _prompts(lines: list[str]) -> tuple[str, str]:
    for index, line in enumerate(lines):
        if line.startswith(_NEGATIVE):
            negative = [line.removeprefix(_NEGATIVE), *lines[index + 1 :]]
            return "\n".join(lines[:index]).strip(), "\n".join(negative).strip()
    return "\n".join(lines).strip(), ""
