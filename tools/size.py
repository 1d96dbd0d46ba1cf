"""Count code lines by area and hold them to the budget in pyproject.toml.

Blank lines, comments and docstrings are free: the budget is for logic.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


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
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
