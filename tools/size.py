"""Hold code to its size: areas to their budgets in pyproject.toml, files and functions to a bound.

Of an area blank lines, comments and docstrings are free: the budget is for logic. A file has one
noun and at most 400 lines, a function at most 60; a kernel, which is read from top to bottom, 100.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
HELD = ("mezzotint", "bench", "tools", "training")
MAX_FILE, MAX_FUNCTION, MAX_KERNEL = 400, 60, 100  # lines


def code_lines(path: Path) -> int:
    """Lines of a Python file that hold code."""
    source = path.read_text(encoding="utf-8")
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in docstrings
        for number, line in enumerate(source.splitlines(), 1)
    )


def measure(area: str) -> int:
    """Code lines below a folder."""
    return sum(code_lines(path) for path in sorted((ROOT / area).rglob("*.py")))


def too_long(path: Path) -> Iterator[str]:
    """What of a file is longer than it may be, a sentence each."""
    source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
    lines = len(source.splitlines())
    if lines > MAX_FILE:
        yield f"{name} has {lines} lines of {MAX_FILE}: find the noun that wants a file of its own"
    most = MAX_KERNEL if name.is_relative_to("mezzotint/kernels") else MAX_FUNCTION
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > most:
                yield f"{name}:{node.lineno} {node.name} has {lines} lines of {most}: divide it"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="print every area")
    table = parser.parse_args().table
    budgets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mezzotint"]["size"]
    over = 0
    for area, budget in budgets.items():
        lines = measure(area)
        over += lines > budget
        if table or lines > budget:
            print(f"{area:24} {lines:6} of {budget:6} lines{'  OVER' if lines > budget else ''}")
    for path in (path for area in HELD for path in sorted((ROOT / area).rglob("*.py"))):
        for sentence in too_long(path):
            over += 1
            print(sentence)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
