"""A look at what a stage launches: the last function and inputs handed to each Replay."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from torch import Tensor

from mezzotint.engine import graphs
from mezzotint.engine.capture import Aside
from mezzotint.engine.graphs import GraphCache

STAGES = ("encode", "denoise", "decode")  # in the order in which a model asks for its replays


@dataclass(frozen=True, eq=False)
class Call:
    """A function of tensors that launches kernels, and what it was last given."""

    function: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]


class Recording(GraphCache):
    """A GraphCache that remembers its last call."""

    last: Call | None = None

    def __call__(
        self, key: Hashable, function: Callable[..., Tensor], *inputs: Tensor, **kind: Any
    ) -> Tensor:
        self.last = Call(function, inputs)
        return super().__call__(key, function, *inputs, **kind)


@contextmanager
def recording() -> Iterator[dict[str, Recording]]:
    """Engines opened inside on a GPU record; by stage, filled when the engine has opened."""
    made: dict[str, Recording] = {}

    def make(room: Callable[[], int], aside: Aside | None = None) -> Recording:
        one = Recording(room, aside)
        made[STAGES[len(made)]] = one
        return one

    with patch.object(graphs, "GraphCache", make):
        yield made
