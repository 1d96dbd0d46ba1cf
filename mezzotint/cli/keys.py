"""`mezzotint keys`: who may use the server."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mezzotint.cli.help import SectionedCommand
from mezzotint.cli.streams import stdout_is_closed
from mezzotint.types import RequestError

if TYPE_CHECKING:
    from mezzotint.jobs.database import Database
    from mezzotint.jobs.keys import Key
    from mezzotint.jobs.place import DataFolder


def _place(text: str) -> Path:
    if not text:
        raise typer.BadParameter("it is empty; name a folder, or leave the option out")
    return Path(text)


DataDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        parser=_place,
        show_default=False,
        help="The server's data folder. [default: ~/.local/share/mezzotint]",
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is, in your words.")]
Role = Annotated[
    Literal["user", "admin"],
    typer.Option(
        metavar="user|admin",
        help="A user sees their own pictures; an admin sees all and changes settings.",
    ),
]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="From `mezzotint keys list`.")]

keys_app = typer.Typer(
    help="Say who may use the server.", no_args_is_help=True, rich_markup_mode=None
)


@keys_app.command(cls=SectionedCommand)
def add(name: Name, role: Role = "user", data_dir: DataDir = None) -> None:
    """Make a key and print it.

    It is shown this once: only its hash is stored. A running server knows it at once; the first
    key ever made closes a server that was open till then.
    """
    from mezzotint.jobs import keys

    if stdout_is_closed():
        raise RequestError("stdout is closed, so the key could not be shown; open it")
    with _database(data_folder(data_dir)) as database:
        key, token = database.write(keys.add, name, role, _now_us())
        try:
            typer.echo(token)
        except BaseException:  # nobody saw it, and nobody ever will
            database.write(keys.revoke, key.id, _now_us())
            raise
    typer.echo(f"{key.role} key {key.id} for {key.name}; it cannot be shown again", err=True)


@keys_app.command("list", cls=SectionedCommand)
def list_keys(data_dir: DataDir = None) -> None:
    """List all keys, without their secrets."""
    from mezzotint.jobs import keys

    with _kept(data_dir) as database:
        found = database.read(keys.list_keys)
    if not found:
        typer.echo("no keys; make one with `mezzotint keys add NAME`", err=True)
    for key in found:
        typer.echo(_line(key))


@keys_app.command(cls=SectionedCommand)
def revoke(key_id: KeyId, data_dir: DataDir = None) -> None:
    """End a key for good; its pictures stay."""
    from mezzotint.jobs import keys

    with _kept(data_dir) as database:
        typer.echo(_line(database.write(keys.revoke, key_id, _now_us())))


def _kept(data_dir: Path | None) -> Database:
    """The history that is there: looking at keys makes none. RequestError where there is none."""
    folder = data_folder(data_dir)
    if not os.access(folder.database, os.R_OK):
        raise RequestError(
            f"{folder.path} holds no history that can be read, so no keys; correct --data-dir, or "
            "make the first key with `mezzotint keys add NAME`"
        )
    return _database(folder)


def _database(folder: DataFolder) -> Database:
    from mezzotint.jobs.database import Database

    return Database(folder.database)


def data_folder(data_dir: Path | None) -> DataFolder:
    """The one that was named, or the one of every server here."""
    from mezzotint.jobs.place import DEFAULT_DATA, DataFolder

    return DataFolder((data_dir or DEFAULT_DATA).expanduser())


def _line(key: Key) -> str:
    state = (
        f"revoked {_day(key.revoked_us)}" if key.revoked_us else f"used {_day(key.last_used_us)}"
    )
    return f"{key.id}  {key.role:5}  made {_day(key.created_us)}  {state:18}  {key.name}"


def _day(time_us: int | None) -> str:
    return "never" if time_us is None else f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d}"


def _now_us() -> int:
    return time.time_ns() // 1000
