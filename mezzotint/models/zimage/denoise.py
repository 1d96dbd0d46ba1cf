"""The denoise stage: one step of every request in a pack, in one forward."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import cast

import torch
from torch import Tensor

from mezzotint.kernels import flow_step
from mezzotint.models.spec import Replay, SlotBuffers, StepRow
from mezzotint.models.zimage.config import padded
from mezzotint.models.zimage.layout import Shape, layout
from mezzotint.models.zimage.mixed import MAX_REQUESTS, fits, layout_of, mix, pad_rows
from mezzotint.models.zimage.modulation import Modulations, ModulationTable
from mezzotint.models.zimage.patches import grid
from mezzotint.models.zimage.preview import LatentPreview, estimate
from mezzotint.models.zimage.transformer import Transformer

# Rows of the modulation table: the times of a 50-step schedule and of an 8-step one beside it.
# They are made as they are needed, eight at once.
TABLE_ROWS = 64


class Denoiser:
    """Reads and writes latents in their slots; a guided request runs as two segments."""

    def __init__(
        self, transformer: Transformer, preview: LatentPreview, replay: Replay, mixes: bool
    ) -> None:
        self._transformer = transformer
        self._replay = replay
        self._mixes = mixes  # record packs of unlike requests by bucket
        self._preview = preview
        self._table = ModulationTable(transformer.modulation_rows, TABLE_ROWS)

    def __call__(self, rows: Rows[StepRow], slots: SlotBuffers) -> None:
        """Move each row's latent from its sigma to its next sigma."""
        shapes = tuple(_shape(row) for row in rows)
        velocities = self._forward(rows, shapes, slots)
        for row, shape in zip(rows, shapes, strict=True):
            x = slots.latents[row.slot, : shape.image_tokens]
            pos = velocities.pop(0)
            neg = velocities.pop(0) if len(shape.captions) == 2 else None
            after = flow_step(x, pos, neg, row.sigma, row.next_sigma, row.guidance, row.rescale)
            if row.preview:
                clean = estimate(x, after, row.sigma, row.next_sigma)
                picture = self._preview(clean, shape.rows, shape.columns)
                slots.previews[row.slot, : len(picture)] = picture
            x.copy_(after)

    def _forward(
        self, rows: Rows[StepRow], shapes: tuple[Shape, ...], slots: SlotBuffers
    ) -> list[Tensor]:
        device = slots.latents.device
        times = self._table.lookup(tuple(1.0 - row.sigma for row in rows), device)
        patches = torch.cat(
            [slots.latents[r.slot, : s.image_tokens] for r, s in zip(rows, shapes, strict=True)]
        )
        captions = torch.cat(
            [
                slots.captions[row.slot, place, :length]
                for row, shape in zip(rows, shapes, strict=True)
                for place, length in enumerate(shape.captions)
            ]
        )

        unlike = len(set(shapes)) > 1
        run = self._run_mixed if self._mixes and unlike and fits(shapes) else self._run_alike
        return run(shapes, patches, captions, times)

    def _run_alike(
        self, shapes: tuple[Shape, ...], patches: Tensor, captions: Tensor, times: Tensor
    ) -> list[Tensor]:
        config = self._transformer.config
        pack = layout(shapes, config, patches.device)

        def forward(x: Tensor, c: Tensor, t: Tensor) -> Tensor:
            modulations = Modulations.of(t, config.num_refiner_layers)
            return cast("Tensor", self._transformer(x, c, pack, modulations))

        key, kind = (shapes, len(times)), (pack.kind, len(times) == 1)
        velocity = self._replay(key, forward, patches, captions, times, kind=kind)
        return list(velocity.split(pack.output_lengths))

    def _run_mixed(
        self, shapes: tuple[Shape, ...], patches: Tensor, captions: Tensor, times: Tensor
    ) -> list[Tensor]:
        config = self._transformer.config
        pack = mix(shapes, config, patches.device)

        def forward(x: Tensor, c: Tensor, t: Tensor, *tables: Tensor) -> Tensor:
            modulations = Modulations.of(t, config.num_refiner_layers)
            return cast("Tensor", self._transformer(x, c, layout_of(tables), modulations))

        velocity = self._replay(
            pack.key,
            forward,
            pad_rows(patches, pack.rows),
            pad_rows(captions, pack.captions),
            pad_rows(times.expand(len(shapes), -1, -1), MAX_REQUESTS),
            *pack.tables,
            kind="mixed",
        )
        return list(velocity[: sum(pack.output_lengths)].split(pack.output_lengths))


def _shape(row: StepRow) -> Shape:
    tokens = (row.prompt_tokens, row.negative_tokens)
    return Shape(*grid(row.width, row.height), tuple(padded(n) for n in tokens if n is not None))
