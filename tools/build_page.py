"""Hatch's build hook: a wheel or an sdist made from the sources carries the built web page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = (20, 19)


class BuildPage(BuildHookInterface):
    """Builds webui/ into mezzotint/web/; without Node the package is made without the page."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source = Path(self.root, "webui")
        if version == "editable" or not source.is_dir():
            return  # `make web` builds it there; an sdist brings it along
        problem = _node_problem()
        if problem is not None:
            self.app.display_warning(f"the web page is left out: {problem}; the rest is complete")
            return
        for command in (("npm", "ci"), ("npm", "run", "build")):
            subprocess.run(command, cwd=source, check=True)


def _node_problem() -> str | None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "building it takes Node 20.19 or newer with npm, and there is none"
    answer = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True)
    found = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    if found is None or tuple(map(int, found.groups())) < NODE:
        return f"building it takes Node 20.19 or newer, and this is {answer.stdout.strip()}"
    return None
