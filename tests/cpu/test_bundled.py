"""The model that ships: its files, what it says of itself, and what it was shown."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mezzotint.cli.app import app
from mezzotint.models.find import describe

MOST_BYTES = 40 * 10**6  # of weights


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_its_sums_name_every_file_and_agree(bundled: Path) -> None:
    listed = dict(
        reversed(line.split("  ", 1)) for line in _lines((bundled / "SHA256SUMS").read_text())
    )
    there = {str(p.relative_to(bundled)) for p in bundled.rglob("*") if p.is_file()}
    assert there == {*listed, "SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((bundled / name).read_bytes()).hexdigest() == digest, name


def test_its_weights_stay_small(bundled: Path) -> None:
    assert sum(file.stat().st_size for file in bundled.rglob("*.safetensors")) <= MOST_BYTES


def test_its_spec_agrees_with_what_it_was_trained_for(bundled: Path) -> None:
    spec = describe(bundled, None)
    said = json.loads((bundled / "subjects.json").read_text(encoding="utf-8"))
    assert {(w, h) for w, h in said["sizes"]} == set(spec.sizes)
    assert said["recipe"] == {"steps": spec.steps, "guidance": spec.guidance}
    assert all(
        spec.limits.min_side <= side <= spec.limits.max_side for size in spec.sizes for side in size
    )


@pytest.mark.parametrize(
    "prompt",
    [
        *("a red apple on green grass", "two cats", "a dog in the rain", "a blue car"),
        *("绿色草地上的一个红苹果", "沙滩上的一只猫", "雨中的一把紫色雨伞"),
    ],
)
def test_it_knows_plain_things(bundled: Path, prompt: str) -> None:
    catalogue = describe(bundled, None).catalogue
    assert catalogue is not None
    assert catalogue.hint(prompt) is None


def test_prompts_lists_and_searches_in_both_languages() -> None:
    listed = CliRunner().invoke(app, ["prompts"])
    assert listed.exit_code == 0, listed.output
    assert len(_lines(listed.stdout)) > 700
    for word in ("cat", "猫"):
        found = CliRunner().invoke(app, ["prompts", "--search", word])
        assert "cat (猫)" in _lines(found.stdout)
    assert CliRunner().invoke(app, ["prompts", "--search", "quark"]).exit_code == 2
