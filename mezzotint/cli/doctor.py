"""`mezzotint doctor`: what this machine has, what is wrong and how to mend it."""

from __future__ import annotations

import json as jsonlib
import textwrap
from dataclasses import asdict

import typer

from mezzotint.cli import options as opt
from mezzotint.cli.checks import Check, run_checks

_COLOURS = {"pass": typer.colors.GREEN, "fail": typer.colors.RED, "note": typer.colors.YELLOW}


def doctor(json: opt.Json = False) -> None:
    """Check this machine; every problem comes with its fix.

    Exits with 1 if a check fails. Nothing is changed, kept or fetched.
    """
    checks: list[Check] = []
    for check in run_checks():
        checks.append(check)
        if not json:
            _print(check)
    failed = sum(check.status == "fail" for check in checks)
    if json:
        document = {"ok": not failed, "checks": [asdict(check) for check in checks]}
        typer.echo(jsonlib.dumps(document, indent=2))
    else:
        typer.echo(f"\n{failed} of {len(checks)} failed" if failed else "\nall is well")
    if failed:
        raise typer.Exit(1)


def _print(check: Check) -> None:
    status = typer.style(check.status, fg=_COLOURS[check.status], bold=True)
    first, *rest = _wrapped(check.found)
    typer.echo(f"{status}  {check.name:<9} {first}")
    for line in (*rest, *(_wrapped(f"fix: {check.fix}") if check.fix else ())):
        typer.echo(f"{'':15} {line}")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, width=64, break_long_words=False, break_on_hyphens=False) or [""]
