"""What a small model can draw: its subjects, styles, colours and scenes, in two languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

_NEAREST = 3
_LIKENESS = 0.6  # of difflib's ratio: "aple" finds "apple", "dragonfruit" finds nothing


@dataclass(frozen=True, slots=True)
class Names:
    """One thing's names; the first of each language is the one to show."""

    english: tuple[str, ...]
    chinese: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """All that a model was shown."""

    subjects: tuple[Names, ...]
    styles: tuple[str, ...]
    colours: tuple[str, ...]
    backgrounds: tuple[Names, ...]
    scenes: tuple[Names, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Catalogue:
        """From the values of a subjects file. KeyError, TypeError or ValueError if it is none."""
        return cls(
            subjects=tuple(_names(english, chinese) for english, chinese, _ in values["subjects"]),
            styles=tuple(map(str, values["styles"])),
            colours=tuple(map(str, values["colours"])),
            backgrounds=tuple(_names([en], [zh]) for en, zh in values["plain_backgrounds"]),
            scenes=tuple(_names(english, chinese) for english, chinese in values["scenes"]),
        )

    def search(self, word: str) -> tuple[Names, ...]:
        """Subjects with a name that contains `word`, in either language."""
        word = word.lower()
        return tuple(s for s in self.subjects if any(word in n for n in s.english + s.chinese))

    def hint(self, prompt: str) -> str | None:
        """A sentence with the nearest known subjects when the prompt names none; else None."""
        words = [_singular(word) for word in re.findall(r"[a-z0-9'-]+", prompt.lower())]
        phrase = f" {' '.join(words)} "
        if any(f" {name} " in phrase for name in self._english):
            return None
        if any(name in prompt for name in self._chinese):
            return None
        near = self._nearest(words)
        advice = f"; the nearest it knows: {', '.join(near)}" if near else ""
        return (
            f"the model knows no subject in {_short(prompt)!r}{advice} "
            "(mezzotint prompts lists them all)"
        )

    def _nearest(self, words: list[str]) -> list[str]:
        found: dict[str, None] = {}
        for word in sorted(words, key=len, reverse=True):
            if len(word) > 2:
                for name in get_close_matches(word, self._english, _NEAREST, _LIKENESS):
                    found[self._english[name]] = None
        return list(found)[:_NEAREST]

    @cached_property
    def _english(self) -> dict[str, str]:
        # by the form prompts are compared in; every word on its own, so that plurals meet
        return {
            " ".join(_singular(word) for word in name.split()): name
            for subject in self.subjects
            for name in subject.english
        }

    @cached_property
    def _chinese(self) -> frozenset[str]:
        return frozenset(name for subject in self.subjects for name in subject.chinese)


def _names(english: list[str], chinese: list[str]) -> Names:
    return Names(tuple(map(str, english)), tuple(map(str, chinese)))


def _singular(word: str) -> str:
    """A word without its plural ending, well enough to compare two of them."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and re.search(r"(s|x|ch|sh|o)es$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 40 else prompt[:39] + "…"
