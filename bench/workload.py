"""What is measured end to end: sizes, steps and guidance, and the timer that all share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

REST_S = 0.5  # between pictures: straight after another one, clocks are lower


@dataclass(frozen=True)
class Workload:
    """One kind of request, made one at a time."""

    name: str
    width: int
    height: int
    steps: int
    guidance: float  # diffusers' meaning
    repeats: int


WORKLOADS = (
    Workload("1024px-8", 1024, 1024, 8, 0.0, 7),
    Workload("512px-8", 512, 512, 8, 0.0, 9),
    Workload("1024px-40-guided", 1024, 1024, 40, 4.0, 1),
)


def prompt(number: int) -> str:
    """Prompts of one length in tokens, all different, so that no cache of prompts answers."""
    return (
        "a red apple next to a blue car on green grass under a yellow sun and two white clouds, "
        f"flat icon of a cat, a dog, a fish, a house and a tree, number {number % 10}"
    )


def median_ms(make: Callable[[str], object], workload: Workload, warmups: int = 3) -> float:
    """Median wall milliseconds from a prompt to its result, rested between pictures."""
    for number in range(min(warmups, workload.repeats)):
        make(prompt(number))
    lengths = []
    for number in range(workload.repeats):
        time.sleep(REST_S)
        start = time.perf_counter()
        make(prompt(number + warmups))
        lengths.append((time.perf_counter() - start) * 1e3)
    return statistics.median(lengths)
