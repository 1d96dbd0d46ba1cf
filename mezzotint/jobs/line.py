"""Whose picture is next? Pure: priorities, fair shares, deadlines; no clock and no threads."""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A picture that waits."""

    id: int  # in the order of arrival
    key_id: str  # whose it is
    priority: int  # higher ones go first
    cost: float  # TFLOP
    deadline: float = math.inf  # seconds on the caller's clock; of one key's the nearest goes first


@dataclass(slots=True, eq=False)
class Line:
    """What waits, in fair order: among equal priorities every key gets the same TFLOP.

    Each key has a virtual time: what it was given so far. The key that is furthest behind is next;
    one that comes back after a pause starts level with the others, and has saved nothing up.
    """

    _waiting: dict[int, Entry] = field(default_factory=dict)
    _count: Counter[str] = field(default_factory=Counter)  # of them, by key
    _given: dict[str, float] = field(default_factory=dict)  # TFLOP, by key
    _level: float = 0.0  # the virtual time of the newest turn

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: Entry) -> None:
        """Let a picture wait."""
        if not self._count[entry.key_id]:
            self._given[entry.key_id] = max(self._given.get(entry.key_id, 0.0), self._level)
        self._put(entry)

    def remove(self, id: int) -> bool:
        """Let a picture wait no longer. -> whether it did."""
        entry = self._waiting.pop(id, None)
        if entry is not None:
            self._count[entry.key_id] -= 1
        return entry is not None

    def take(self) -> Entry | None:
        """The next picture, which waits no longer."""
        entry = min(self._waiting.values(), key=self._turn, default=None)
        if entry is not None:
            self.remove(entry.id)
            self._level = self._given[entry.key_id]
            self._given[entry.key_id] += entry.cost
        return entry

    def give_back(self, entry: Entry) -> None:
        """Let a taken picture wait again, as if it had never been taken."""
        self._put(entry)
        self._given[entry.key_id] -= entry.cost

    def order(self) -> list[Entry]:
        """All that waits, in the order in which it would be taken from now on."""
        by_priority: dict[int, dict[str, deque[Entry]]] = defaultdict(lambda: defaultdict(deque))
        for entry in sorted(self._waiting.values(), key=_own_turn):
            by_priority[entry.priority][entry.key_id].append(entry)
        given = dict(self._given)
        order: list[Entry] = []
        for priority in sorted(by_priority, reverse=True):
            queues = by_priority[priority]
            heap = [(given[key], _own_turn(queue[0]), key) for key, queue in queues.items()]
            heapq.heapify(heap)
            while heap:
                _, _, key = heapq.heappop(heap)
                order.append(queues[key].popleft())
                given[key] += order[-1].cost
                if queues[key]:
                    heapq.heappush(heap, (given[key], _own_turn(queues[key][0]), key))
        return order

    def _put(self, entry: Entry) -> None:
        self._waiting[entry.id] = entry
        self._count[entry.key_id] += 1

    def _turn(self, entry: Entry) -> tuple[int, float, tuple[float, int]]:
        return -entry.priority, self._given[entry.key_id], _own_turn(entry)


def _own_turn(entry: Entry) -> tuple[float, int]:
    """The order among pictures of one key and priority."""
    return entry.deadline, entry.id
