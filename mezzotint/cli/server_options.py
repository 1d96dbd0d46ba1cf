"""The options of `mezzotint serve` that are the server's own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from mezzotint.cli.options import option

_option = partial(option, "Server")

Host = Annotated[str, _option("--host", "ADDRESS", "Where to listen.", show_default=True)]
Port = Annotated[
    int, _option("--port", "PORT", "0 takes any free one.", min=0, max=65535, show_default=True)
]
ApiKey = Annotated[
    str | None,
    _option("--api-key", "KEY", "For trials: others see it in `ps`. Better set MEZZOTINT_API_KEY."),
]
RootPath = Annotated[
    str, _option("--root-path", "/PATH", "Where a reverse proxy mounts the server.")
]
AllowedHost = Annotated[
    list[str] | None,
    _option(
        "--allowed-host",
        "NAME",
        "A host name clients use; may be repeated. IP addresses and localhost always work.",
    ),
]
MaxQueue = Annotated[
    int | None,
    _option(
        "--max-queue",
        "N",
        "Pictures accepted and not finished; beyond, clients are told to wait. 64 unless an admin "
        "changed it.",
        min=1,
        max=10_000,
    ),
]
StepsRange = Annotated[
    str | None,
    _option(
        "--steps-range",
        "MIN-MAX",
        "Steps of pictures whose request names neither steps nor a preset: as many as the load "
        "allows. `off`: the model's own number. Off unless an admin changed it.",
    ),
]
WarmUp = Annotated[
    str | None,
    _option(
        "--warm-up",
        "WxH,...",
        "Sizes drawn before it is ready, so that nobody waits for kernels to be compiled; `none`. "
        "[default: the model's own, on a GPU]",
    ),
]
Compat = Annotated[
    list[str] | None,
    _option("--compat", "NAME", "Another program's API to serve too: a1111. May be repeated."),
]
Open = Annotated[bool, _option("--open", None, "Open the web page in the browser.")]
Replay = Annotated[
    Path | None,
    _option(
        "--replay", "FILE", "Show recorded stats, labelled as such, in place of this server's own."
    ),
]
