"""Sizes of pictures as people write them."""

from __future__ import annotations

import re

from mezzotint.types import RequestError

Size = tuple[int, int]  # width, height in pixels


def parse_size(text: str) -> Size:
    """WIDTHxHEIGHT in pixels. RequestError for any other text."""
    match = re.fullmatch(r"(\d{1,6})[xX×*](\d{1,6})", text, re.ASCII)
    if match is None:
        raise RequestError(f"size {text!r} is not WIDTHxHEIGHT in pixels; write it as in 1024x768")
    return int(match[1]), int(match[2])
