"""What a rival is: a name, its packages, and how prompts become pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from PIL.Image import Image

from bench.rivals.weights import SharedWeights
from mezzotint.measure.workload import Workload

Draw = Callable[[Sequence[str], Workload], list[Image]]  # all prompts in one call


@dataclass(frozen=True)
class Rival:
    """A program beside which the engine is measured."""

    name: str
    packages: tuple[str, ...]  # whose versions its rows state
    setting: str  # as it was run, in words
    build: Callable[[SharedWeights], Draw]
    approximate: bool = False  # leaves out work that the reference does
    batches: tuple[int, ...] = ()  # pictures in one call that are worth trying; none: one by one

    def versions(self) -> dict[str, str]:
        """Of its packages. PackageNotFoundError names the one to install."""
        return {package: version(package) for package in self.packages}

    def batches_of(self, at_once: int) -> tuple[int, ...]:
        """How many pictures a call, for so many at once: each way that is worth a try."""
        if at_once == 1 or not self.batches:
            return (1,)
        if at_once <= max(self.batches):
            return (at_once,)
        return (*(b for b in self.batches if at_once % b == 0), at_once)
