"""Refined captions by prompt, in memory that is allocated once."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from mezzotint.models.zimage.config import SEQUENCE_MULTIPLE

Ids = tuple[int, ...]


class CaptionCache:
    """Captions in pages of 32 tokens; the least recently used leave when no page is free.

    A cache that allocated each caption anew would ask the driver for memory every few dozen
    prompts, which stops the whole device.
    """

    def __init__(
        self, budget_bytes: int, width: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        page_bytes = SEQUENCE_MULTIPLE * width * dtype.itemsize
        shape = (budget_bytes // page_bytes, SEQUENCE_MULTIPLE, width)
        self._pages = torch.empty(shape, dtype=dtype, device=device)
        self._free = list(range(shape[0]))
        self._entries: OrderedDict[Ids, tuple[int, ...]] = OrderedDict()

    def __contains__(self, ids: Ids) -> bool:
        return ids in self._entries

    def read(self, ids: Ids, out: Tensor) -> None:
        """Copy a caption that is there to the first rows of out [its padded length or more, D]."""
        self._entries.move_to_end(ids)
        for number, page in enumerate(self._entries[ids]):
            out[_page(number)] = self._pages[page]

    def write(self, ids: Ids, caption: Tensor) -> None:
        """Keep a padded caption [a multiple of 32, D], unless it is larger than the whole cache."""
        wanted = len(caption) // SEQUENCE_MULTIPLE
        if wanted > len(self._pages):
            return
        while len(self._free) < wanted:
            _, pages = self._entries.popitem(last=False)
            self._free += pages
        taken = tuple(self._free.pop() for _ in range(wanted))
        for number, page in enumerate(taken):
            self._pages[page] = caption[_page(number)]
        self._entries[ids] = taken


def _page(number: int) -> slice:
    return slice(number * SEQUENCE_MULTIPLE, (number + 1) * SEQUENCE_MULTIPLE)
