"""Who may call: bearer keys, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Protocol

from mezzotint.types import ConfigError

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key; `name` may be logged, the key never."""

    name: str
    role: Role


ANYONE = Caller("anyone", "admin")  # of a server without keys, which only this machine reaches


class Keyring(Protocol):
    """Knows the keys of a server."""

    @property
    def required(self) -> bool:
        """Whether a call needs a key."""
        ...

    def find(self, key: str) -> Caller | None:
        """Whose key it is; None when it is nobody's."""
        ...


class NoKeys:
    """The keyring of a server that is open to its own machine."""

    required = False

    def find(self, key: str) -> Caller | None:
        return ANYONE


class FixedKeys:
    """Keys given at the start: hashed at once, so that no dump of this object shows one."""

    required = True

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = tuple(_digest(_checked(key)) for key in keys)

    def find(self, key: str) -> Caller | None:
        """Whose key it is. Every key is compared to its end, whatever the answer."""
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return Caller("operator", "admin") if any(matches) else None


def _checked(key: str) -> str:
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "the API key is empty or holds a character that no header can carry; give one of "
            "letters, digits and punctuation, such as the output of `openssl rand -hex 32`"
        )
    return key


def _digest(key: str) -> bytes:
    # Equal lengths for the comparison. A key worth having is random: no slow hash is needed.
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
