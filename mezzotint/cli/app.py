"""The command: one subcommand a file; errors become one sentence and an exit code here."""

from __future__ import annotations

import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from mezzotint.cli import streams
from mezzotint.cli.bench import bench
from mezzotint.cli.compare import compare
from mezzotint.cli.config import config_app
from mezzotint.cli.doctor import doctor
from mezzotint.cli.generate import generate
from mezzotint.cli.help import SectionedCommand
from mezzotint.cli.keys import keys_app
from mezzotint.cli.presets import presets
from mezzotint.cli.prompts import prompts
from mezzotint.cli.pull import pull
from mezzotint.cli.serve import serve
from mezzotint.types import MezzotintError
from mezzotint.version import __version__

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


class ErrorGroup(TyperGroup):
    """Ends a command with one sentence on stderr for every error a user can cause."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MezzotintError as error:
            typer.echo(f"mezzotint: {error}", err=True)
            raise typer.Exit(EXIT_ERROR) from error
        except typer.BadParameter as error:
            if (sentence := _wrong_value(error)) is None:
                raise
            typer.echo(f"mezzotint: {sentence}", err=True)
            raise typer.Exit(EXIT_ERROR) from error
        except KeyboardInterrupt as error:
            typer.echo("mezzotint: stopped", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from error


def _wrong_value(error: typer.BadParameter) -> str | None:
    """Which option, its value and what it may be, where typer leaves the value out."""
    from pydantic import ValidationError  # so late: it takes a tenth of a second

    from mezzotint.config import reason_of

    if not isinstance(error.__cause__, ValidationError):
        return None
    problem = error.__cause__.errors()[0]
    name = error.param.opts[0] if error.param is not None else "a value"
    return f"{name} = {problem['input']!r}: {reason_of(problem).removesuffix('.')}"


# Plain help: rich's panels cost 0.16 s of every --help and wrap long options in 80 columns.
app = typer.Typer(
    name="mezzotint",
    cls=ErrorGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
app.command(cls=SectionedCommand)(generate)
app.command(cls=SectionedCommand)(presets)
app.command(cls=SectionedCommand)(prompts)
app.command(cls=SectionedCommand)(pull)
app.command(cls=SectionedCommand)(serve)
app.command(cls=SectionedCommand)(doctor)
app.command(cls=SectionedCommand)(bench)
app.command(cls=SectionedCommand)(compare)
app.add_typer(config_app, name="config")
app.add_typer(keys_app, name="keys")


def main() -> NoReturn:
    """Run the command with the process's arguments and exit."""
    streams.prepare()
    try:
        app(prog_name="mezzotint")
    except MezzotintError as error:  # of what a group prints itself, as its help
        typer.echo(f"mezzotint: {error}", err=True)
        sys.exit(EXIT_ERROR)
    finally:
        streams.give_up_stdout()
    sys.exit(0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mezzotint {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Make pictures from text with Z-Image."""
