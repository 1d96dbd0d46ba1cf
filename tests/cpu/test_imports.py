"""Imports point one way: types, config, kernels, samplers, models, images, engine, ..., cli."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "mezzotint"
ORDER = (
    "version",
    "types",
    "size",
    "config",
    "kernels",
    "samplers",
    "models",
    "images",
    "engine",
    "measure",
    "workers",
    "jobs",
    "server",
    "cli",
)
LAZY = {"mezzotint/__init__.py"}  # hands out the engine when asked


def area(module: str) -> str | None:
    """The area of mezzotint that a module name belongs to; None for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "mezzotint" and len(parts) > 1 else None


def imported(path: Path) -> set[str]:
    """Every mezzotint area that a file imports, anywhere in it."""
    areas = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            areas |= {area(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            areas |= {area(node.module) or area(name) for name in names}
    return {name for name in areas if name}


def test_imports_point_one_way() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE.parent)
        own = relative.parts[1].removesuffix(".py")
        if str(relative) in LAZY or own == "__main__":
            continue
        assert own in ORDER, f"{relative} is in no known area"
        for other in imported(path):
            if other != own and (other not in ORDER or ORDER.index(other) > ORDER.index(own)):
                wrong.append(f"{relative} imports {other}")
    assert wrong == []


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, mezzotint, mezzotint.types; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_without_gpus_imports_no_torch(bundled: Path, tmp_path: Path) -> None:
    """A second of its start and 150 MB; its workers import it meanwhile."""
    code = (
        "import sys; import mezzotint.cli.serve, mezzotint.server.app, mezzotint.server.run\n"
        "from mezzotint.config import make\n"
        "from mezzotint.models.find import describe, open_tokenizer\n"
        "from mezzotint.models.locate import locate\n"
        "from mezzotint.workers.open import launches, spec_for\n"
        f"config = make(model={str(bundled)!r}, device='cpu')\n"
        "spec_for(config), launches(config), open_tokenizer(locate(config.model))('a cat')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_run_time_needs_no_oracle() -> None:
    """transformers and diffusers judge in tests; the package must run without them."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"transformers", "diffusers"}, path


def test_the_command_begins_without_what_only_its_work_needs() -> None:
    late = "{'pydantic', 'torch', 'numpy', 'mezzotint.config'}"
    code = f"import sys, mezzotint.cli.app; print(*{late} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
