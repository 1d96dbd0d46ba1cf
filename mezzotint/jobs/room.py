"""How many pictures may be in at once, and how many of them one key's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mezzotint.jobs.store import LOCAL
from mezzotint.types import ResourceError


class QueueFullError(ResourceError):
    """As many pictures are in as may; `wait_s` says after how many seconds there may be room."""

    def __init__(self, message: str, wait_s: int) -> None:
        super().__init__(f"{message}; try again in {wait_s} s")
        self.wait_s = wait_s


def share_of(key_id: str, bound: int) -> int:
    """The most that one key may have in: a quarter is left to others, but not by the operator."""
    return bound if key_id == LOCAL else bound - bound // 4


@dataclass(slots=True, eq=False)
class Room:
    """Counts what is in; whoever holds it holds a lock."""

    bound: Callable[[], int]  # asked each time: an admin may change it
    _held: Counter[str] = field(default_factory=Counter)  # by key

    @property
    def used(self) -> int:
        """Pictures that are in."""
        return self._held.total()

    def excess(self, key_id: str, num: int) -> int:
        """How many must leave before so many of a key's may come in; 0: they may."""
        bound = self.bound()
        own = self._held[key_id] + num - share_of(key_id, bound)
        return max(self.used + num - bound, own, 0)

    def full(self, key_id: str, num: int, wait_s: int) -> QueueFullError:
        """Why so many may not come in."""
        bound = self.bound()
        if self.used + num > bound:
            message = f"{self.used} pictures are in the queue and {bound} is its limit"
        else:
            own, share = self._held[key_id], share_of(key_id, bound)
            message = f"{own} pictures of this key are in the queue and {share} is a key's limit"
        return QueueFullError(message, wait_s)

    def take(self, key_id: str, num: int) -> None:
        """Let so many in."""
        self._held[key_id] += num

    def give(self, key_id: str, num: int = 1) -> None:
        """So many are out again."""
        self._held[key_id] -= num
        if not self._held[key_id]:
            del self._held[key_id]
