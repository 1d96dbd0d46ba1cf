"""Help in sections, so that thirty options read as five short lists in 80 columns."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from typer.core import TyperArgument, TyperCommand

_REST = "Options"


class SectionedCommand(TyperCommand):
    """Lists arguments first, then options under the heading each was given."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if isinstance(parameter, TyperArgument):
                sections["Arguments"].append((parameter.metavar or name, text))
            else:
                heading = getattr(parameter, "rich_help_panel", None) or _REST
                sections[heading].append((name, text))
        for heading in sorted(sections, key=_REST.__eq__):  # what belongs nowhere comes last
            with formatter.section(heading):
                formatter.write_dl(sections[heading], col_max=28)
