"""`mezzotint prompts`: what a small model can draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mezzotint.cli import options as opt
from mezzotint.types import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mezzotint.models.catalogue import Catalogue, Names


def prompts(
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORD", help="Only subjects with WORD.")
    ] = None,
    model: opt.Model = None,
    variant: opt.Variant = None,
) -> None:
    """List what a small model knows how to draw.

    Styles, colours, backgrounds, scenes and subjects. Combine them in English or Chinese:
    "two blue cars in the rain", "沙滩上的一只猫".
    """
    from mezzotint.config import load
    from mezzotint.models.find import describe
    from mezzotint.models.locate import locate

    config = load({"model": model, "variant": variant}).config
    spec = describe(locate(config.model), config.variant)
    if spec.catalogue is None:
        raise RequestError(
            f"{spec.name} has no list of what it knows; describe any picture you like"
        )
    for line in _lines(spec.catalogue, search):
        typer.echo(line)


def _lines(catalogue: Catalogue, search: str | None) -> Iterable[str]:
    if search is None:
        yield "styles       " + ", ".join(catalogue.styles)
        yield "colours      " + ", ".join(catalogue.colours)
        yield "backgrounds  " + ", ".join(_name(names) for names in catalogue.backgrounds)
        yield "scenes       " + ", ".join(_name(names) for names in catalogue.scenes)
        yield ""
    found = catalogue.subjects if search is None else catalogue.search(search)
    for names in found:
        yield _name(names)
    if not found:
        raise RequestError(f"no subject has {search!r} in its names; leave --search out for all")


def _name(names: Names) -> str:
    chinese = f" ({names.chinese[0]})" if names.chinese else ""
    return f"{names.english[0]}{chinese}"
