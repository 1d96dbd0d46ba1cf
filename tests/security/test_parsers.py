"""Noise for every parser of ours, in short: `make fuzz` does it for hours, guided by coverage."""

from __future__ import annotations

import random
import time

import pytest
from fuzz_targets import TARGETS, one

NUM_INPUTS = 400


def changed(data: bytes, draw: random.Random) -> bytes:
    """A seed with some bytes changed, cut, doubled or put in."""
    parts = bytearray(data)
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(parts) + 1)
        match draw.randrange(4):
            case 0 if place < len(parts):
                parts[place] = draw.choice((0, 1, 0x7F, 0xFF, draw.randrange(256)))
            case 1:
                del parts[place : place + draw.randint(1, 9)]
            case 2:
                parts[place:place] = parts[place : place + draw.randint(1, 40)]
            case _:
                parts[place:place] = draw.randbytes(draw.randint(1, 5))
    return bytes(parts)


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_answers_or_raises_its_own_error(name: str) -> None:
    draw = random.Random(7)
    seeds = TARGETS[name][2]
    start = time.process_time()
    for data in (b"", *seeds, *(changed(draw.choice(seeds), draw) for _ in range(NUM_INPUTS))):
        one(data, name)
    assert time.process_time() - start < 10
