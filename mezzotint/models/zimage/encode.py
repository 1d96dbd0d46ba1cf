"""The encode stage: prompts to refined captions, seeds to noise, both into slots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Rows
from functools import lru_cache

import torch
from torch import Tensor

from mezzotint.kernels import Segments
from mezzotint.models.shared.qwen3 import Qwen3
from mezzotint.models.shared.transfer import to_device
from mezzotint.models.spec import EncodeRow, Replay, SlotBuffers
from mezzotint.models.zimage.captions import CaptionCache, Ids
from mezzotint.models.zimage.config import TransformerConfig, padded
from mezzotint.models.zimage.layout import Sequence
from mezzotint.models.zimage.patches import VAE_FACTOR, patchify
from mezzotint.models.zimage.rope import caption_positions, rope_tables
from mezzotint.models.zimage.transformer import Transformer

BATCH_SIZES = (8, 4, 2, 1)


class Encoder:
    """Text encoder, caption embedder and caption refiner: all that depends on the prompt only."""

    def __init__(
        self, text_encoder: Qwen3, transformer: Transformer, cache_bytes: int, replay: Replay
    ) -> None:
        self._replay = replay
        self._text_encoder = text_encoder
        self._transformer = transformer
        self._cache = CaptionCache(
            cache_bytes,
            transformer.config.dim,
            transformer.dtype,
            transformer.x_pad_token.device,
        )

    def __call__(self, rows: Rows[EncodeRow], slots: SlotBuffers) -> None:
        """Fill each row's slot: captions [0] with the prompt, [1] with the negative; the noise."""
        wanted: dict[Ids, list[Tensor]] = defaultdict(list)
        for row in rows:
            for place, ids in enumerate((row.prompt_ids, row.negative_ids)):
                if ids:
                    wanted[ids].append(slots.captions[row.slot, place, : padded(len(ids))])
        missing = [ids for ids in wanted if ids not in self._cache]
        for ids, captions in wanted.items():
            if ids in self._cache:  # read before a new caption may take its place
                for caption in captions:
                    self._cache.read(ids, caption)
        for batch in batches(missing):
            self._encode(batch, wanted)
        for row in rows:
            self._draw_noise(row, slots)

    def _encode(self, batch: list[Ids], wanted: dict[Ids, list[Tensor]]) -> None:
        """Encode prompts of one padded length into the cache and to wherever they are wanted."""
        length, device = padded(len(batch[0])), wanted[batch[0]][0].device
        ids, source = _caption_tables(batch, length)
        segments, sequence = _caption_sequence(len(batch), length, self._transformer.config, device)

        def forward(x: Tensor, source: Tensor) -> Tensor:
            features = self._text_encoder(x, segments)
            return self._transformer.refine_captions(features, source, sequence)

        x = self._text_encoder.embed(ids, device)
        captions = self._replay((len(batch), length), forward, x, to_device(source, device))
        # Copied at once: the next replay writes over these.
        for prompt, caption in zip(batch, captions.split(length), strict=True):
            self._cache.write(prompt, caption)
            for place in wanted[prompt]:
                place.copy_(caption)

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
