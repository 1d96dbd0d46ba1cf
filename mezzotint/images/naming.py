"""What picture files are called: readable, and safe on every file system."""

from __future__ import annotations

import unicodedata
from typing import Final

from mezzotint.types import Format

SUFFIXES: Final[dict[Format, str]] = {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}

MAX_SLUG: Final = 48  # characters; at most 192 bytes, below the 255 that file systems take


def slug(prompt: str) -> str:
    """The prompt's letters and digits of any script, the rest as single dashes."""
    text = unicodedata.normalize("NFC", prompt).lower()
    # A mark belongs to the letter before it: Hindi and Thai are not words without them.
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    return "-".join("".join(kept).split())[:MAX_SLUG].strip("-") or "picture"
