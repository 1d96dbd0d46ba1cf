"""Prompts to judge fidelity by: things, colours and scenes that the bundled model knows."""

from __future__ import annotations

from mezzotint.models.catalogue import Catalogue
from mezzotint.models.find import describe
from mezzotint.models.locate import BUNDLED

MAX_PROMPTS = 512


def fidelity_prompts(count: int) -> tuple[str, ...]:
    """The first `count` of a fixed list, up to 512; every one names another subject."""
    catalogue = describe(BUNDLED).catalogue
    if catalogue is None:
        raise RuntimeError("the bundled model lists no subjects; reinstall mezzotint")
    return tuple(_prompt(catalogue, number) for number in range(count))


def _prompt(catalogue: Catalogue, number: int) -> str:
    """Walks the lists in strides, so that a few prompts already show all kinds."""
    subjects = catalogue.subjects
    subject = subjects[number * 11 % len(subjects)].english[0]
    colour = catalogue.colours[number % len(catalogue.colours)]
    scene = catalogue.scenes[number % len(catalogue.scenes)].english[0]
    background = catalogue.backgrounds[number % len(catalogue.backgrounds)].english[0]
    style = catalogue.styles[number % len(catalogue.styles)]
    words = (
        f"{subject} {scene}",
        f"{colour} {subject} on {_article(background)} background",
        f"{subject}, {style}",
        f"{colour} {subject} {scene}",
    )[number % 4]
    return _article(words)


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
