"""What a small model knows: search, hints for what it does not, and broken lists."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mezzotint.models.catalogue import Catalogue
from mezzotint.models.find import describe
from mezzotint.types import ModelError

VALUES = {
    "subjects": [
        [["red apple", "apple"], ["苹果", "红苹果"], True],
        [["cat", "kitty"], ["猫"], True],
        [["strawberry"], ["草莓"], False],
        [["teddy bear"], ["泰迪熊"], False],
        [["cherry blossom"], ["樱花"], False],
    ],
    "styles": ["3d", "flat"],
    "colours": ["red", "blue"],
    "plain_backgrounds": [["white", "白色背景"]],
    "scenes": [[["on the beach"], ["沙滩上"]]],
}
CATALOGUE = Catalogue.of(VALUES)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red apple on green grass",
        "Two Cats next to a dog",
        "three strawberries",
        "a blue teddy bear in the rain",
        "沙滩上的一只猫",
        "三个草莓",
    ],
)
def test_known_subjects_get_no_hint(prompt: str) -> None:
    assert CATALOGUE.hint(prompt) is None


@pytest.mark.parametrize(
    ("prompt", "nearest"),
    [
        ("a strawbery", "strawberry"),
        ("an aple on a table", "apple"),
        ("two teddybears", None),
        ("a category theorist", None),
        ("一条龙", None),
    ],
)
def test_unknown_subjects_get_the_nearest(prompt: str, nearest: str | None) -> None:
    hint = CATALOGUE.hint(prompt)
    assert hint is not None
    assert "knows no subject" in hint
    assert "mezzotint prompts" in hint
    if nearest:
        assert nearest in hint


def test_search_in_both_languages() -> None:
    assert [names.english[0] for names in CATALOGUE.search("APPLE")] == ["red apple"]
    assert [names.english[0] for names in CATALOGUE.search("樱")] == ["cherry blossom"]
    assert CATALOGUE.search("zzz") == ()


def test_a_broken_list_is_a_sentence(bundled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled, folder)
    (folder / "subjects.json").write_text(json.dumps(VALUES), encoding="utf-8")
    assert describe(folder).catalogue == CATALOGUE
    (folder / "subjects.json").write_text('{"subjects": [["a"]]}')
    with pytest.raises(ModelError, match="does not list subjects"):
        describe(folder)
