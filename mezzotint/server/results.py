"""Pictures kept for a while behind signed links."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from mezzotint.types import Format


@dataclass(frozen=True, slots=True)
class Result:
    """A picture's file."""

    data: bytes
    format: Format
    expires: int  # Unix seconds


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed address holds."""

    id: str
    expires: int  # Unix seconds
    signature: str


class Results:
    """The newest pictures, up to a number of bytes and seconds; used from the event loop only.

    The signing key is drawn at the start: links die with the process, as their pictures do.
    """

    def __init__(
        self, max_bytes: Callable[[], int], seconds: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._kept: OrderedDict[str, Result] = OrderedDict()
        self._num_bytes = 0

    @property
    def num_bytes(self) -> int:
        """Bytes held now."""
        return self._num_bytes

    def keep(self, data: bytes, format: Format) -> Link:
        """Keep a picture and sign a link to it; the oldest ones make room."""
        id = secrets.token_urlsafe(18)
        expires = int(self._clock()) + self._seconds
        self._kept[id] = Result(data, format, expires)
        self._num_bytes += len(data)
        self._drop_old()
        return Link(id, expires, self._sign(id, expires))

    def open(self, link: Link) -> Result | None:
        """The picture, if the link is ours, in time, and its picture still kept."""
        good = hmac.compare_digest(
            self._sign(link.id, link.expires).encode(), link.signature.encode("utf-8", "replace")
        )
        self._drop_old()
        return self._kept.get(link.id) if good else None

    def _sign(self, id: str, expires: int) -> str:
        return hmac.new(self._key, f"{id} {expires}".encode(), sha256).hexdigest()

    def _drop_old(self) -> None:
        """Drop what is too old, and then what has no room; the oldest is always the first."""
        now = self._clock()
        while self._kept:
            id, oldest = next(iter(self._kept.items()))
            if oldest.expires > now and self._num_bytes <= self._max_bytes():
                return
            del self._kept[id]
            self._num_bytes -= len(oldest.data)
