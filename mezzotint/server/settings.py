"""What a server is told once, at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mezzotint.server.keys import Keyring, NoKeys
from mezzotint.server.knobs import MAX_QUEUE, Value
from mezzotint.server.open_steps import OFF

MAX_PICTURES = 10  # of one request, as in OpenAI's contract
MAX_BODY_BYTES = 2**20
MAX_PROMPT_CHARACTERS = 32_000
MAX_PRIORITY = 10
DRAIN_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The server's own choices; the engine's are in mezzotint.config."""

    keys: Keyring = field(default_factory=NoKeys)
    aliases: tuple[str, ...] = ()  # names clients may use besides the model's own
    allowed_hosts: tuple[str, ...] = ()  # host names besides localhost and IP addresses
    compat: frozenset[str] = frozenset()  # other programs' APIs that are served: "a1111"
    root_path: str = ""  # where a reverse proxy mounts the server, as in /pictures
    max_queue: int = MAX_QUEUE  # pictures accepted and not finished
    steps_range: str = OFF  # of requests that name no steps: off, or as 4-16
    fixed: frozenset[str] = frozenset()  # settings that no admin may change
    running: Mapping[str, Value] = field(default_factory=dict)  # those of the next start, as now
    results_s: int = 3600  # how long such a link is good
