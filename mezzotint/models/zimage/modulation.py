"""What the time says to each block: rows computed once per time and looked up ever after."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mezzotint.models.shared.transfer import to_device

_ROWS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Modulation:
    """One block's scales (already 1 + s) and gates (already tanh); each [R, D] float32."""

    scale_msa: Tensor
    gate_msa: Tensor
    scale_mlp: Tensor
    gate_mlp: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Modulations:
    """Every modulated block's modulation for R requests, and the final layer's scale."""

    noise_refiner: tuple[Modulation, ...]
    layers: tuple[Modulation, ...]
    final_scale: Tensor  # [R, D] float32, already 1 + s

    @classmethod
    def of(cls, rows: Tensor, num_refiner_layers: int) -> Modulations:
        """View rows [R, 4 * blocks + 1, D], noise refiner first, as named values."""
        columns = rows.unbind(1)
        blocks = tuple(Modulation(*columns[i : i + 4]) for i in range(0, len(columns) - 1, 4))
        return cls(blocks[:num_refiner_layers], blocks[num_refiner_layers:], columns[-1])


class ModulationTable:
    """Static modulation rows by time; the least recently used row makes room.

    A schedule's times recur for every picture, so after the first picture no step computes
    modulation: at full size that saves 253 MB of weight reads and 66 launches a step.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], capacity: int) -> None:
        self._compute = compute  # t [R] float32 -> rows [R, n, D] float32
        self._capacity = capacity
        self._rows: OrderedDict[float, Tensor] = OrderedDict()  # each [1, n, D]
        self._unused: list[Tensor] = []

    def lookup(self, times: tuple[float, ...], device: torch.device) -> Tensor:
        """The rows of these times, in order; one row, if it serves all. -> [R or 1, n, D] float32.

        ValueError: none, or more than the table holds.
        """
        num_times = len(set(times))
        if not 1 <= num_times <= self._capacity:
            raise ValueError(
                f"{num_times} times in one pack; the table takes 1 to {self._capacity}"
            )
        for time in times:
            if time in self._rows:
                self._rows.move_to_end(time)
        missing = [time for time in dict.fromkeys(times) if time not in self._rows]
        if missing:
            self._insert(missing, device)
        if num_times == 1:
            return self._rows[times[0]]  # no copy
        return torch.cat([self._rows[time] for time in times])

    def _insert(self, times: list[float], device: torch.device) -> None:
        rows = self._compute(to_device(torch.tensor(times, dtype=torch.float32), device))
        for time, row in zip(times, rows.split(1), strict=True):
            place = self._place(row)
            place.copy_(row)
            self._rows[time] = place

    def _place(self, like: Tensor) -> Tensor:
        """Where a row may be written. Eight are made at once: at full size a row is 1.9 MB."""
        if len(self._rows) == self._capacity:
            return self._rows.popitem(last=False)[1]
        if not self._unused:
            num_rows = min(_ROWS_AT_ONCE, self._capacity - len(self._rows))
            self._unused = list(like.new_empty(num_rows, *like.shape[1:]).split(1))
        return self._unused.pop(0)
