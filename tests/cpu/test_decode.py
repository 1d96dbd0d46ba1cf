"""The decode stage: what is prepared is what is called afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mezzotint.engine.slots import allocate
from mezzotint.models.load import load
from mezzotint.models.spec import Build, DecodeRow, Eager

CPU = torch.device("cpu")
Call = tuple[object, object, torch.Size, tuple[int, ...], torch.dtype]


class Noted(Eager):
    """Takes note of keys, kinds and how inputs lie."""

    def __init__(self, *, ahead: bool = False) -> None:
        self.ahead, self.called, self.prepared = ahead, list[Call](), list[Call]()

    def __call__(self, key, function, *inputs, kind=None):  # type: ignore[no-untyped-def]
        self.called += [(key, kind, x.shape, x.stride(), x.dtype) for x in inputs]
        return function(*inputs)

    def prepare(self, key, function, *inputs, kind):  # type: ignore[no-untyped-def]
        self.prepared += [(key, kind, x.shape, x.stride(), x.dtype) for x in inputs]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_size_is_prepared_as_it_is_decoded(bundled: Path, dtype: torch.dtype) -> None:
    made: list[Noted] = []

    def make(*, ahead: bool = False) -> Noted:
        made.append(Noted(ahead=ahead))
        return made[-1]

    build = Build(device=CPU, dtype=dtype, caption_cache_mib=1, make_replay=make)
    model = load(bundled, None, build)
    (replay,) = (each for each in made if each.ahead)
    slots = allocate(model.spec.slot_shapes, 1, CPU, dtype)
    for width, height in ((128, 128), (176, 96)):
        model.decode.prepare(width, height)
        model.decode(DecodeRow(slot=0, width=width, height=height), slots)
    assert len(replay.called) == 2
    assert replay.prepared == replay.called
