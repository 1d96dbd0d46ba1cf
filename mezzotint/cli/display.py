"""Progress on stderr: a bar on a terminal, a line a picture elsewhere, or nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, Self

import typer

if TYPE_CHECKING:
    from rich.progress import Progress


class Display(Protocol):
    """Shows how a batch goes on; entered while it runs."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, num_pictures: int, num_steps: int) -> None:
        """Say how many pictures there are, and denoise steps over all of them."""
        ...

    def step(self, picture: int, step: int) -> None:
        """One picture has `step` steps behind it."""
        ...

    def picture(self, path: str) -> None:
        """One more picture is written."""
        ...


def make_display(*, quiet: bool, json: bool) -> Display:
    """A bar if stderr is a terminal; else lines, which a reader of JSON did not ask for."""
    if quiet:
        return Silent()
    if sys.stderr.isatty():
        return Bar()
    return Silent() if json else Lines()


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, num_pictures: int, num_steps: int) -> None:
        pass

    def step(self, picture: int, step: int) -> None:
        pass

    def picture(self, path: str) -> None:
        pass


class Lines(Silent):
    """A plain line for each finished picture, for logs and pipes."""

    def __init__(self) -> None:
        self._done = 0
        self._of = 0

    def start(self, num_pictures: int, num_steps: int) -> None:
        self._of = num_pictures

    def picture(self, path: str) -> None:
        self._done += 1
        typer.echo(f"[{self._done}/{self._of}] {path}", err=True)


class Bar(Silent):
    """One bar over the steps of all pictures."""

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}
        self._done = 0
        self._of = 0
        self._progress = _make_progress()
        self._task = self._progress.add_task("", total=None, pictures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, num_pictures: int, num_steps: int) -> None:
        self._of = num_pictures
        self._progress.update(self._task, total=num_steps, pictures=self._pictures())

    def step(self, picture: int, step: int) -> None:
        gain = step - self._steps.get(picture, 0)
        self._steps[picture] = step
        self._progress.update(self._task, advance=gain)

    def picture(self, path: str) -> None:
        self._done += 1
        self._progress.update(self._task, pictures=self._pictures())

    def _pictures(self) -> str:
        return f"{self._done}/{self._of} picture{'s' * (self._of > 1)}"


def _make_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import MofNCompleteColumn as Count
    from rich.progress import TimeRemainingColumn as Remaining

    return Progress(
        TextColumn("{task.fields[pictures]}"),
        BarColumn(bar_width=None),
        Count(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        TextColumn("left"),
        Remaining(),
        console=Console(stderr=True),
        redirect_stdout=False,  # the bar is on stderr; stdout may be a pipe that needs its bytes
        redirect_stderr=False,
    )
