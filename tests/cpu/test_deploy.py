"""What deploy/ says about the command and the metrics is true; whether it runs, nobody tried."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import typer.main
from serving import serving

from mezzotint.cli.app import app
from mezzotint.server.gpus import _METRICS

DEPLOY = Path(__file__).parents[2] / "deploy"


def options_of_serve() -> set[str]:
    group = typer.main.get_command(app)
    serve = group.commands["serve"]  # type: ignore[attr-defined]
    return {option for parameter in serve.params for option in parameter.opts}


def check_command(words: list[str]) -> None:
    assert words[0] == "serve"
    given = [word for word in words if word.startswith("--")]
    assert given
    assert set(given) <= options_of_serve()


def test_the_unit_starts_a_command_that_there_is() -> None:
    unit = (DEPLOY / "mezzotint.service").read_text()
    command = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])  # type: ignore[index]
    assert command[0].endswith("/mezzotint")
    check_command(command[1:])
    assert "127.0.0.1" in command  # what other machines reach needs a key
    assert unit.startswith("# Untested")


def test_the_image_starts_a_command_that_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)[1]) == ["mezzotint"]  # type: ignore[index]
    check_command(json.loads(re.search(r"^CMD (.*)$", text, re.MULTILINE)[1]))  # type: ignore[index]
    assert text.startswith("# Untested")
    assert "USER mezzotint" in text


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    board = json.loads((DEPLOY / "grafana.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"mezzotint_\w+", target["expr"])
    }
    with serving() as server, server.client() as http:
        http.post("/v1/images/generations", json={"prompt": "a", "size": "64x64", "steps": 1})
        text = http.get("/metrics").text
    there = set(re.findall(r"^(mezzotint_\w+)", text, re.MULTILINE)) | {
        each[0] for each in _METRICS
    }
    assert len(asked) >= 12
    assert asked <= there
