"""Owns the device: runs packs on its three stages. All calls come from one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mezzotint.engine.pack import STAGES, DecodePack, DenoisePack, EncodePack, Pack, StageName
from mezzotint.engine.plan import MemoryPlan
from mezzotint.engine.slots import allocate
from mezzotint.engine.stage import CudaClock, CudaStage, HostStage, Launch, Stage
from mezzotint.engine.streams import STREAMS, take_stream
from mezzotint.engine.unheld import give_back
from mezzotint.models.spec import PREVIEW_SCALE, DecodeRow, LoadedModel, StepRow


class Executor:
    """Turns packs into launches; slots carry everything from one stage to the next."""

    def __init__(
        self, model: LoadedModel, plan: MemoryPlan, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._model = model
        self._slots = allocate(plan.slot_shapes, plan.slots, device, dtype)
        # Pixels land here by an asynchronous copy; on the CPU they are already there.
        self._host_pixels = _host_side(self._slots.pixels, plan.slots)
        self._host_previews = _host_side(self._slots.previews, plan.slots)
        self._last: dict[int, Launch] = {}  # by request: what its next launch must follow
        wanted = len(STAGES) + 1 if device.type == "cuda" else 0  # one tells the time
        self._streams: list[torch.cuda.Stream] = []
        try:
            for _ in range(wanted):
                self._streams.append(take_stream())
            self._stages = _stages(self._streams)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the streams back: all that was launched has run. Again: nothing happens."""
        while self._streams:  # the last first, so that the next engine gets each for the same
            STREAMS.give_back(self._streams.pop())

    @property
    def slots_bytes(self) -> int:
        """Bytes of all slots on the device."""
        buffers = self._slots
        parts = (buffers.latents, buffers.captions, buffers.pixels, buffers.previews)
        return sum(part.nbytes for part in parts)

    def launch(self, pack: Pack) -> Launch:
        """Start a pack after whatever its requests did before."""
        after = tuple(self._last[r] for r in pack.requests if r in self._last)
        launch = self._stages[pack.stage].launch(partial(self._run, pack), after)
        for request in pack.requests:
            self._last[request] = launch
        return launch

    def forget(self, request: int) -> None:
        """The request has ended; nothing will follow its last launch."""
        self._last.pop(request, None)

    def recover(self, let_go: Callable[[], None]) -> None:
        """Give back to the device what a launch held that ran out of memory; slots stay.

        `let_go` is called once nothing runs any more, to let go of more.
        """
        if self._slots.pixels.is_cuda:
            give_back(let_go)
        else:
            let_go()

    def pixels(self, row: DecodeRow) -> np.ndarray:
        """A copy of a decoded picture, [height, width, 3] uint8; its launch must have run."""
        flat = self._host_pixels[row.slot, : row.height * row.width]
        return flat.numpy().reshape(row.height, row.width, 3).copy()

    def preview(self, row: StepRow) -> np.ndarray:
        """A copy of a step's preview, [height / 8, width / 8, 3]; its launch must have run."""
        height, width = row.height // PREVIEW_SCALE, row.width // PREVIEW_SCALE
        flat = self._host_previews[row.slot, : height * width]
        return flat.numpy().reshape(height, width, 3).copy()

    def _run(self, pack: Pack) -> None:
        with torch.inference_mode():
            match pack:
                case EncodePack():
                    self._model.encode(pack.rows, self._slots)
                case DenoisePack():
                    self._denoise(pack)
                case DecodePack():
                    self._decode(pack)

    def _denoise(self, pack: DenoisePack) -> None:
        self._model.denoise(pack.rows, self._slots)
        for row in pack.rows:
            if row.first:  # not before: the step's own launches are waited for
                self._model.decode.prepare(row.width, row.height)
            if row.preview:
                count = row.height * row.width // PREVIEW_SCALE**2
                _copy(self._slots.previews[row.slot, :count], self._host_previews[row.slot])

    def _decode(self, pack: DecodePack) -> None:
        for row in pack.rows:
            self._model.decode(row, self._slots)
            pixels = self._slots.picture(row.slot, row.height * row.width)
            _copy(pixels, self._host_pixels[row.slot])


def _host_side(buffer: Tensor, slots: int) -> Tensor:
    if not buffer.is_cuda:
        return buffer
    return torch.empty(slots, *buffer.shape[1:], dtype=buffer.dtype, pin_memory=True)


def _copy(source: Tensor, target: Tensor) -> None:
    if source.is_cuda:
        target[: len(source)].copy_(source, non_blocking=True)


def _stages(streams: Sequence[torch.cuda.Stream]) -> dict[StageName, Stage]:
    if not streams:
        return {name: HostStage() for name in STAGES}
    *of_stages, of_clock = streams
    clock = CudaClock.start(of_clock)
    pairs = zip(STAGES, of_stages, strict=True)
    return {name: CudaStage(stream, clock) for name, stream in pairs}
