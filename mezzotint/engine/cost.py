"""When packing pays: what a GPU may pack, and under which load, from measurements."""

from __future__ import annotations

from mezzotint.engine.capacity import AHEAD
from mezzotint.engine.scheduler import Limits

# TFLOP of steps that may share a forward: four pictures of 512 x 512. On an H200 sixteen of them
# come at 5.7 a second in bf16 and at 9.1 in fp8, alone at 5.4 and 8.4; eight at a time gain no more
# than 2 % on that (bench/results/packing.jsonl).
PACK_TFLOP = 60.0
_MEASURED = ((9, "bf16"), (9, "fp8"))  # (compute capability's major, precision)

# Whoever shares ends with the last of its company: four at once come 1.5 times as late as one by
# one. While fewer are in hand than this, nobody shares; from there on sharing takes more from the
# wait than it adds (bench/results/packing_load.jsonl).
PACK_FROM = 6


def limits(
    slots: int, precision: str, capability: int | None, *, deterministic: bool, asked: float | None
) -> Limits:
    """What the scheduler may have in flight and pack.

    `asked` TFLOP are packed under any load. Deterministic packs hold one request, so that its bytes
    never depend on its company. `capability` is the GPU's compute capability's major, None on a
    CPU.
    """
    tflop = budget((capability, precision) in _MEASURED, deterministic=deterministic, asked=asked)
    least = 0 if asked is not None or not tflop else min(PACK_FROM, slots + AHEAD)
    return Limits(slots=slots, pack_tflop=tflop, pack_from=least)


def budget(pays: bool, *, deterministic: bool, asked: float | None) -> float:
    """TFLOP that may share a forward: what was asked for, or what pays, if it does; 0: nothing."""
    found = (PACK_TFLOP if pays else 0.0) if asked is None else asked
    return 0.0 if deterministic else found
