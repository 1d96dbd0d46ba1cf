"""A phase of training: so many minutes, with progress lines, and checkpoints on the way."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

_LINE_EVERY_S = 5.0


class Phase:
    """Time-based training: whatever the speed of the machine, it ends on time.

    rate and progress are functions of the share of the time that has passed.
    """

    def __init__(self, name: str, minutes: float, save: Callable[[], None],
                 save_every_s: float = 60.0) -> None:  # fmt: skip
        self.name, self.seconds = name, minutes * 60
        self.save, self.save_every_s = save, save_every_s
        self.start = self.last_line = self.last_save = time.monotonic()
        self.steps = self.steps_at_line = 0

    @property
    def progress(self) -> float:
        """Share of the time that has passed, 0 to 1."""
        return min(1.0, (time.monotonic() - self.start) / self.seconds)

    @property
    def running(self) -> bool:
        """Whether there is time for another step; two steps are always taken."""
        return self.progress < 1.0 or self.steps < 2

    def rate(self, peak: float, warm_steps: int, cool_from: float = 0.0) -> float:
        """The learning rate: a warm-up in steps, then a cosine to 1 % from `cool_from` on."""
        cooled = max(0.0, (self.progress - cool_from) / (1 - cool_from))
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * cooled))
        return peak * min(1.0, (self.steps + 1) / warm_steps) * cosine

    def tick(self, batch: int, **values: Tensor | float) -> None:
        """Count a step; every few seconds print a line, check for NaN, and save when it is due."""
        self.steps += 1
        now = time.monotonic()
        if now - self.last_line >= _LINE_EVERY_S or self.steps in (1, 10):
            self._line(batch, now, values)
        if now - self.last_save >= self.save_every_s:
            self.save()
            self.last_save = time.monotonic()

    def _line(self, batch: int, now: float, values: dict[str, Tensor | float]) -> None:
        numbers = {k: float(v) for k, v in values.items()}  # waits for the device
        if not all(math.isfinite(v) for v in numbers.values()):
            raise RuntimeError(f"{self.name}: {numbers} at step {self.steps}; lower the rate")
        speed = (self.steps - self.steps_at_line) / max(time.monotonic() - self.last_line, 1e-6)
        memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
        text = " ".join(f"{k} {v:.4g}" for k, v in numbers.items())
        print(
            f"{self.name} step {self.steps} {now - self.start:.0f}/{self.seconds:.0f} s "
            f"{speed:.1f} steps/s {speed * batch:.0f} pictures/s {memory:.0f} GiB {text}",
            flush=True,
        )
        self.last_line, self.steps_at_line = time.monotonic(), self.steps
