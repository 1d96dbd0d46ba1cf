"""generate --trace: what its file holds, and when it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mezzotint.cli.app import app
from mezzotint.cli.tracing import write_trace
from mezzotint.engine.trace import Traced, to_trace
from mezzotint.types import RequestError, ResourceError, Span

QUICK = ("--size", "96x96", "--steps", "2")


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["generate", "a cat", *QUICK, *arguments])


def test_pictures_share_one_clock_and_each_stage_has_a_row() -> None:
    first = Traced("a", 10.0, (Span("queue", 0.0, 2.0), Span("denoise", 2.0, 5.0)))
    second = Traced("b", 10.5, (Span("denoise", 1.0, 3.0),))
    document = json.loads(to_trace([first, second], "device"))
    events = document["traceEvents"]
    spans = [(e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    assert spans == [("a", 2000.0, 5000.0), ("b", 501_000.0, 3000.0)]
    assert [(e["ph"], e["ts"]) for e in events if e["ph"] in "be"] == [("b", 0.0), ("e", 2000.0)]
    rows = [e["args"]["name"] for e in events if e["name"] == "thread_name"]
    assert rows == ["queue", "encode", "denoise", "decode", "file"]
    assert "device clock" in events[0]["args"]["name"]


def test_generate_writes_every_step_of_every_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = generate("--n", "2", "--trace", "t.json")
    assert result.exit_code == 0, result.output
    events = json.loads(Path("t.json").read_text())["traceEvents"]
    by_picture = [
        [e["cat"] for e in events if e["ph"] == "X" and e["args"]["picture"] == i] for i in (0, 1)
    ]
    assert by_picture == [["encode", "denoise", "denoise", "decode", "file"]] * 2


def test_what_cannot_be_written_is_refused_before_a_picture_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.json").write_text("mine")
    for where, words in (
        *(("t.json", "exists"), ("no/t.json", "no place"), (".", "no place")),
        *(("/dev/null", "no place"), ("-", "stdout"), ("a.PNG", "a picture's name")),
    ):
        result = generate("--trace", where, *(["--force"] if where == "/dev/null" else []))
        assert result.exit_code == 2
        assert words in result.stderr
    assert generate("--trace", "same.png", "--out", "same.png", "--force").exit_code == 2
    assert Path("t.json").read_text() == "mine"
    assert list(Path().iterdir()) == [Path("t.json")]
    assert generate("--trace", "t.json", "--force").exit_code == 0


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text("mine")
    with pytest.raises(RequestError, match=r"t\.json exists; give another --trace"):
        write_trace(path, [], "host", force=False)
    assert path.read_text() == "mine"
    with pytest.raises(ResourceError, match=r"could not be written .*--trace"):
        write_trace(path / "below", [], "host", force=True)
