"""The engine inside somebody's program: callbacks that go too far, forks, scripts that just end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest

import mezzotint
from mezzotint import Engine, Request, RequestError, StepRange
from mezzotint.engine.executor import Executor
from mezzotint.types import Format, Progress

APPLE = Request(prompt="a red apple", steps=2, seed=1)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def leave(progress: Progress) -> None:
    sys.exit(f"at {progress.stage}")


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode", "file"])
def test_a_callback_that_leaves_python_ends_its_own_picture(engine: Engine, stage: str) -> None:
    ticket = engine.submit(APPLE)
    ticket.on_progress(lambda progress: leave(progress) if progress.stage == stage else None)
    with pytest.raises(SystemExit, match=f"at {stage}"):
        ticket.result(60)
    assert engine.submit(APPLE).result(60).data


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_callback_that_leaves_python_when_its_picture_has_ended_ends_nothing_else(
    engine: Engine, cancelled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = engine.submit(APPLE)
    ticket.future.add_done_callback(lambda _: sys.exit("at the end"))
    if cancelled:
        ticket.cancel()
    with suppress(mezzotint.Cancelled):
        ticket.result(60)
    assert engine.submit(APPLE).result(60).data
    assert "at the end" in caplog.text


@pytest.mark.parametrize("stage", ["denoise", "file"])
def test_a_callback_may_close_the_engine(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Executor] = []
    close = Executor.close
    monkeypatch.setattr(Executor, "close", lambda self: (closed.append(self), close(self)))
    engine = Engine()
    ticket, called = engine.submit(APPLE), threading.Event()

    def from_within(progress: Progress) -> None:
        if progress.stage == stage:
            engine.close()
            called.set()

    ticket.on_progress(from_within)
    assert called.wait(60)
    engine.close()
    assert len(closed) == 1
    assert ticket.done()
    with pytest.raises(mezzotint.Cancelled):
        engine.submit(APPLE)


@pytest.mark.parametrize(
    "wait",
    [
        lambda engine: engine.generate("a blue car", steps=2),
        lambda engine: engine.submit(APPLE).result(),
    ],
)
def test_a_callback_that_waits_for_its_own_engine_is_told(
    engine: Engine, wait: Callable[[Engine], object]
) -> None:
    ticket = engine.submit(APPLE)
    ticket.on_progress(lambda _: wait(engine))
    with pytest.raises(RuntimeError, match="take the picture in another thread"):
        ticket.result(60)


FORKED = """
import os
from mezzotint import Engine, Request, ResourceError
with Engine() as engine:
    child = os.fork()
    if child == 0:
        try:
            engine.submit(Request(prompt="a red apple"))
        except ResourceError as error:
            print(error, flush=True)
        engine.close()
        os._exit(0)
    os.waitpid(child, 0)
    print(len(engine.generate("a red apple", steps=1)))
"""
FORKED_AFTERWARDS = """
import os, signal
from mezzotint import Engine
with Engine() as engine:
    engine.generate("a red apple", steps=1)
child = os.fork()
if child == 0:
    signal.alarm(60)  # seconds: a child that hangs ends by it
    # On one thread: torch's own, which its parent had, do not always outlive a fork.
    with Engine(threads=1) as engine:
        print(len(engine.generate("a red apple", steps=1)), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
ENDING = """
from mezzotint import Engine, Request
engine = Engine()
ticket = engine.submit(Request(prompt="a red apple", steps=120))
ticket.on_progress(lambda progress: None)
while engine.stats().running == 0:
    pass
{end}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_is_told_to_open_its_own() -> None:
    told, made = run(FORKED).stdout.splitlines()
    assert "open one here" in told
    assert made == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_may_open_its_own_where_its_parent_had_one() -> None:
    assert run(FORKED_AFTERWARDS).stdout.split() == ["1", "0"]


@pytest.mark.parametrize(("end", "code"), [("", 0), ("raise ValueError('mine')", 1)])
def test_a_script_that_just_ends_ends_as_it_would(end: str, code: int) -> None:
    done = run(ENDING.format(end=end))
    assert done.returncode == code, done.stderr
    assert "mine" in done.stderr if code else done.stderr == ""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )


WRONG = {
    "format": ("PNG", "png, webp, jpeg"),
    "metadata": (None, "full, minimal, none"),
    "prompt": (b"bytes", "is no text"),
    "negative_prompt": (None, "is no text"),
    "steps_range": ((2, 3), "StepRange"),
    "steps": (1.5, "not a whole number"),
    "width": ("128", "not a whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_another_kind_is_named_before_anything_runs(engine: Engine, name: str) -> None:
    value, said = WRONG[name]
    choices = {"prompt": "a red apple", "width": 128, "height": 128, name: value}
    with pytest.raises(RequestError, match=said):
        engine.submit(Request(**choices))  # type: ignore[arg-type]


def test_what_is_no_request_and_no_number_of_pictures_is_named(engine: Engine) -> None:
    with pytest.raises(RequestError, match="is no Request"):
        engine.submit({"prompt": "a red apple"})  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="n '2' is not a whole number"):
        engine.generate("a red apple", n="2")  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers(engine: Engine) -> None:
    request = Request(
        prompt="a red apple",
        steps=np.int32(2),  # type: ignore[arg-type]
        seed=np.int64(7),  # type: ignore[arg-type]
        guidance=np.float32(0.5),  # type: ignore[arg-type]
    )
    recipe = engine.submit(request).result(60).recipe
    assert (type(recipe.steps), type(recipe.seed), recipe.guidance) == (int, int, 0.5)


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_a_range_of_numpys_numbers_is_written_into_the_file(engine: Engine, format: Format) -> None:
    steps = StepRange(np.int64(1), np.int16(2))  # type: ignore[arg-type]
    request = Request(prompt="a red apple", steps_range=steps, format=format)
    assert b'"asked":{"steps":{"max":2,"min":1}}' in engine.submit(request).result(60).data
