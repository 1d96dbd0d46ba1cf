"""What the documents point at exists: files, pictures, headings, make's targets, modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "deploy/*.md", "training/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def headings(path: Path) -> set[str]:
    """The anchors of a document, as pages that show Markdown make them."""
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    plain = (re.sub(r"[`*]", "", line).lower() for line in re.findall(r"^#+ (.+)$", text, re.M))
    return {re.sub(r"[^\w\- ]", "", line).replace(" ", "-") for line in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [a or b for a, b in LINK.findall(path.read_text(encoding="utf-8"))]
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_ours_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    code = "\n".join([*CODE.findall(text), *re.findall(r"`([^`\n]+)`", text)])
    for target in re.findall(r"^make ([a-z-]+)", code, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for module in re.findall(r"python -m ((?:bench|training|mezzotint)[\w.]*)", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module


def test_documents_are_found() -> None:
    assert {"README.md", "README.zh.md"} < {path.name for path in DOCUMENTS}
    assert len(DOCUMENTS) > 10
    assert "jobs" in headings(ROOT / "docs" / "api.md")
