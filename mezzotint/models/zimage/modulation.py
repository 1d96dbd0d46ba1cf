"""What the time says to each block: rows computed once per time and looked up ever after."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mezzotint.models.shared.transfer import to_device

_FIRST_ROWS = 8


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
    """A static table of modulation rows by time; the least recently used row makes room.

    A schedule's times recur for every picture, so after the first picture no step computes
    modulation: at full size that saves 253 MB of weight reads and 66 launches a step.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], capacity: int) -> None:
        self._compute = compute  # t [R] float32 -> rows [R, n, D] float32
        self._capacity = capacity
        self._rows: OrderedDict[float, int] = OrderedDict()
        self._table: Tensor | None = None

    def lookup(self, times: tuple[float, ...], device: torch.device) -> Tensor:
        """The rows of these times, in order. -> [R, n, D] float32."""
        if len(set(times)) > self._capacity:
            raise ValueError(
                f"{len(set(times))} times in one pack; the table holds {self._capacity}"
            )
        for time in times:
            if time in self._rows:
                self._rows.move_to_end(time)
        missing = [time for time in dict.fromkeys(times) if time not in self._rows]
        if missing:
            self._insert(missing, device)
        table = self._table
        if table is None:
            raise ValueError("a pack without requests has no times")
        first = self._rows[times[0]]
        if all(time == times[0] for time in times):  # one row serves all: a view, no copy
            return table[first : first + 1]
        index = torch.tensor([self._rows[time] for time in times])
        return table[to_device(index, device)]

    def _insert(self, times: list[float], device: torch.device) -> None:
        rows = self._compute(to_device(torch.tensor(times, dtype=torch.float32), device))
        for time, row in zip(times, rows, strict=True):
            place = len(self._rows)
            if place == self._capacity:
                _, place = self._rows.popitem(last=False)
            self._with_place(place, row)[place] = row
            self._rows[time] = place

    def _with_place(self, place: int, row: Tensor) -> Tensor:
        """The table, doubled where it is too small: at full size a row is 1.9 MB."""
        table = self._table
        if table is None or place >= len(table):
            num_rows = min(max(_FIRST_ROWS, 2 * place), self._capacity)
            grown = row.new_empty(num_rows, *row.shape)
            if table is not None:
                grown[: len(table)] = table
            self._table = table = grown
        return table
