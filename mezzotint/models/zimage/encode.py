"""The encode stage: prompts to refined captions, seeds to noise, both into slots."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence as Rows

import torch
from torch import Tensor

from mezzotint.kernels import Segments
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.spec import EncodeRow, Replay, SlotBuffers
from mezzotint.models.zimage.layout import Sequence, padded
from mezzotint.models.zimage.patches import VAE_FACTOR, patchify
from mezzotint.models.zimage.rope import caption_positions, rope_tables
from mezzotint.models.zimage.transformer import Transformer

Ids = tuple[int, ...]


class CaptionCache:
    """Refined captions by token ids; the least recently used leave when the budget is full."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._bytes = 0
        self._captions: OrderedDict[Ids, Tensor] = OrderedDict()

    def get(self, ids: Ids) -> Tensor | None:
        if ids in self._captions:
            self._captions.move_to_end(ids)
        return self._captions.get(ids)

    def put(self, ids: Ids, caption: Tensor) -> None:
        self._captions[ids] = caption
        self._bytes += caption.nbytes
        while self._bytes > self._budget_bytes and len(self._captions) > 1:
            _, oldest = self._captions.popitem(last=False)
            self._bytes -= oldest.nbytes


class Encoder:
    """Text encoder, caption embedder and caption refiner: all that depends on the prompt only."""

    def __init__(
        self, text_encoder: Qwen3, transformer: Transformer, cache_bytes: int, replay: Replay
    ) -> None:
        self._replay = replay
        self._text_encoder = text_encoder
        self._transformer = transformer
        self._cache = CaptionCache(cache_bytes)

    def __call__(self, rows: Rows[EncodeRow], slots: SlotBuffers) -> None:
        """Fill each row's slot: captions [0] with the prompt, [1] with the negative; the noise."""
        wanted = [ids for row in rows for ids in (row.prompt_ids, row.negative_ids) if ids]
        captions = self._captions(list(dict.fromkeys(wanted)), slots.captions.device)
        for row in rows:
            for place, ids in enumerate((row.prompt_ids, row.negative_ids)):
                if ids:
                    slots.captions[row.slot, place, : padded(len(ids))] = captions[ids]
            self._draw_noise(row, slots)

    def _captions(self, wanted: list[Ids], device: torch.device) -> dict[Ids, Tensor]:
        found = {ids: caption for ids in wanted if (caption := self._cache.get(ids)) is not None}
        missing = [ids for ids in wanted if ids not in found]
        if missing:
            found |= zip(missing, self._encode(missing, device), strict=True)
            for ids in missing:
                self._cache.put(ids, found[ids])
        return found

    def _encode(self, prompts: list[Ids], device: torch.device) -> list[Tensor]:
        ids = torch.tensor([i for prompt in prompts for i in prompt], dtype=torch.int64)
        lengths = [len(prompt) for prompt in prompts]
        segments = Segments.of(lengths, device)
        source, sequence = _caption_layout(lengths, self._transformer, device)

        def forward(x: Tensor) -> Tensor:
            features = self._text_encoder(x, segments)
            return self._transformer.refine_captions(features, source, sequence)

        refined = self._replay(tuple(lengths), forward, self._text_encoder.embed(ids, device))
        # Clones, so that a long-lived cache entry does not keep its whole pack alive.
        return [c.clone() for c in refined.split([padded(length) for length in lengths])]

    def _draw_noise(self, row: EncodeRow, slots: SlotBuffers) -> None:
        # A CPU generator per picture gives the same noise on every device, and diffusers' noise.
        config = self._transformer.config
        shape = (config.in_channels, row.height // VAE_FACTOR, row.width // VAE_FACTOR)
        generator = torch.Generator("cpu").manual_seed(row.seed)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        tokens = patchify(noise, config)
        slots.latents[row.slot, : len(tokens)] = tokens.to(slots.latents.device, non_blocking=True)


def _caption_layout(
    lengths: list[int], transformer: Transformer, device: torch.device
) -> tuple[Tensor, Sequence]:
    total, start, source = sum(lengths), 0, []
    for length in lengths:
        rows = torch.full((padded(length),), total)  # the pad token's row
        rows[:length] = torch.arange(start, start + length)
        source.append(rows)
        start += length
    padded_lengths = [len(rows) for rows in source]
    positions = torch.cat([caption_positions(length) for length in padded_lengths])
    cos, sin = rope_tables(positions, transformer.config)
    sequence = Sequence(
        segments=Segments.of(padded_lengths, device),
        request=torch.zeros(sum(padded_lengths), dtype=torch.int64, device=device),
        cos=cos.to(device),
        sin=sin.to(device),
    )
    return torch.cat(source).to(device), sequence
