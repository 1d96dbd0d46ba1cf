"""The encode stage: prompts to refined captions, seeds to noise, both into slots."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Rows
from functools import lru_cache

import torch
from torch import Tensor

from mezzotint.kernels import Segments
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.shared.transfer import to_device
from mezzotint.models.spec import EncodeRow, Replay, SlotBuffers
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.layout import Sequence, padded
from mezzotint.models.zimage.patches import VAE_FACTOR, patchify
from mezzotint.models.zimage.rope import caption_positions, rope_tables
from mezzotint.models.zimage.transformer import Transformer

Ids = tuple[int, ...]
BATCH_SIZES = (8, 4, 2, 1)


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
            found |= self._encode(missing, device)
            for ids in missing:
                self._cache.put(ids, found[ids])
        return found

    def _encode(self, prompts: list[Ids], device: torch.device) -> dict[Ids, Tensor]:
        refined: dict[Ids, Tensor] = {}
        for batch in batches(prompts):
            length = padded(len(batch[0]))
            ids, source = _caption_tables(batch, length)
            segments, sequence = _caption_sequence(
                len(batch), length, self._transformer.config, device
            )

            def forward(
                x: Tensor,
                source: Tensor,
                segments: Segments = segments,
                sequence: Sequence = sequence,
            ) -> Tensor:
                features = self._text_encoder(x, segments)
                return self._transformer.refine_captions(features, source, sequence)

            x = self._text_encoder.embed(ids, device)
            captions = self._replay((len(batch), length), forward, x, to_device(source, device))
            # Clones: the next replay writes over these, and an entry must not keep its batch.
            refined |= zip(batch, (c.clone() for c in captions.split(length)), strict=True)
        return refined

    def _draw_noise(self, row: EncodeRow, slots: SlotBuffers) -> None:
        # A CPU generator per picture gives the same noise on every device, and diffusers' noise.
        config = self._transformer.config
        shape = (config.in_channels, row.height // VAE_FACTOR, row.width // VAE_FACTOR)
        generator = torch.Generator("cpu").manual_seed(row.seed)
        noise = torch.randn(shape, generator=generator, dtype=torch.float32)
        tokens = patchify(noise, config)
        slots.latents[row.slot, : len(tokens)] = to_device(tokens, slots.latents.device)


def batches(prompts: Iterable[Ids]) -> Iterator[list[Ids]]:
    """Prompts of one padded length together, 8, 4, 2 or 1 at a time: few shapes, all recorded.

    A causal encoder never looks ahead, so padding a prompt's end changes none of its features.
    """
    groups: dict[int, list[Ids]] = defaultdict(list)
    for ids in prompts:
        groups[padded(len(ids))].append(ids)
    for group in groups.values():
        while group:
            size = next(size for size in BATCH_SIZES if size <= len(group))
            yield group[:size]
            group = group[size:]


def _caption_tables(batch: list[Ids], length: int) -> tuple[Tensor, Tensor]:
    """Token ids, each prompt padded to `length`, and each row's place in [features ; pad token]."""
    ids = torch.zeros(len(batch), length, dtype=torch.int64)
    source = torch.full((len(batch), length), len(batch) * length)  # the pad token's row
    for number, prompt in enumerate(batch):
        ids[number, : len(prompt)] = torch.tensor(prompt)
        first = number * length
        source[number, : len(prompt)] = torch.arange(first, first + len(prompt))
    return ids.flatten(), source.flatten()


@lru_cache(maxsize=128)
def _caption_sequence(
    num_prompts: int, length: int, config: TransformerConfig, device: torch.device
) -> tuple[Segments, Sequence]:
    """Segments and positions of equally long prompts laid end to end."""
    segments = Segments.of([length] * num_prompts, device)
    cos, sin = rope_tables(caption_positions(length).repeat(num_prompts, 1), config)
    request = torch.zeros(num_prompts * length, dtype=torch.int64, device=device)
    return segments, Sequence(segments, request, cos.to(device), sin.to(device))
