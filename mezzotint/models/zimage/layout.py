"""How the requests of one pack lie in memory: which token is where, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mezzotint.kernels import Segments
from mezzotint.models.zimage.config import TransformerConfig, padded
from mezzotint.models.zimage.rope import caption_positions, image_positions, rope_tables


@dataclass(frozen=True, slots=True)
class Shape:
    """One request in a pack: its image's patch grid and its padded captions' lengths."""

    rows: int
    columns: int
    captions: tuple[int, ...]  # (prompt,) or (prompt, negative): one segment each, padded

    @property
    def image_tokens(self) -> int:
        return self.rows * self.columns

    @property
    def padded_image_tokens(self) -> int:
        return padded(self.image_tokens)

    @property
    def has_image_padding(self) -> bool:
        return self.image_tokens != self.padded_image_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A packed sequence: attention stays within segments, modulation follows the request."""

    segments: Segments
    request: Tensor  # [T] int64, the request of each token
    cos: Tensor  # [T, head_dim/2] float32
    sin: Tensor  # [T, head_dim/2] float32


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Index tables of one pack; they depend on shapes only, never on values.

    None where rows lie as they are wanted: one request without image padding moves none.
    """

    images: Sequence  # what the noise refiner reads
    image_source: Tensor | None  # [image rows] into the [patches ; pad token] table
    joint: Sequence  # what the main blocks read: per segment [image ; caption]
    joint_source: Tensor | None  # [joint rows] into the [images ; captions] table
    output: Tensor | None  # [sum of image_tokens over segments] rows of the joint sequence
    output_lengths: tuple[int, ...]  # image tokens of each segment

    @property
    def kind(self) -> tuple[bool, ...]:
        """Equal for layouts that the same kernels run on: which rows move, what differs."""
        tables = (self.image_source, self.joint_source, self.output)
        segments = (self.images.segments, self.joint.segments)
        return (
            *(table is None for table in tables),
            *(each.uniform_length is None for each in segments),
        )


@lru_cache(maxsize=256)  # a few hundred kB each at 1024^2; a step must not rebuild them
def layout(shapes: tuple[Shape, ...], config: TransformerConfig, device: torch.device) -> Layout:
    """Lay requests end to end. -> tables on `device`."""
    images = _image_sequences(shapes)
    segments = [(r, s, caption) for r, s in enumerate(shapes) for caption in s.captions]
    return Layout(
        images=_sequence(
            [image.positions for image in images], [i.request for i in images], config, device
        ),
        image_source=_unless_in_order(_image_source(shapes, images), device),
        joint=_sequence(
            [
                torch.cat([_image_positions(shape, caption), caption_positions(caption)])
                for _, shape, caption in segments
            ],
            [request for request, _, _ in segments],
            config,
            device,
        ),
        joint_source=_unless_in_order(_joint_source(shapes, images), device),
        output=_unless_in_order(_output_rows(shapes), device),
        output_lengths=tuple(shape.image_tokens for _, shape, _ in segments),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ImageSequence:
    request: int
    positions: Tensor


def _image_sequences(shapes: tuple[Shape, ...]) -> list[_ImageSequence]:
    # Without image padding a request's noise refiner sees only relative positions, which do not
    # depend on the caption: its segments share one image sequence. With padding (position 0, 0, 0)
    # they do depend on it, so each segment has its own.
    return [
        _ImageSequence(request, _image_positions(shape, caption))
        for request, shape in enumerate(shapes)
        for caption in (shape.captions if shape.has_image_padding else shape.captions[:1])
    ]


def _image_positions(shape: Shape, caption: int) -> Tensor:
    return image_positions(shape.rows, shape.columns, shape.padded_image_tokens, caption)


def _sequence(
    positions: list[Tensor], requests: list[int], config: TransformerConfig, device: torch.device
) -> Sequence:
    lengths = [len(p) for p in positions]
    cos, sin = rope_tables(torch.cat(positions), config)
    request = torch.repeat_interleave(torch.tensor(requests), torch.tensor(lengths))
    return Sequence(
        Segments.of(lengths, device), request.to(device), cos.to(device), sin.to(device)
    )


def _unless_in_order(source: Tensor, device: torch.device) -> Tensor | None:
    in_order = torch.equal(source, torch.arange(len(source)))
    return None if in_order else source.to(device)


def _image_source(shapes: tuple[Shape, ...], images: list[_ImageSequence]) -> Tensor:
    total = sum(shape.image_tokens for shape in shapes)
    starts = _starts([shape.image_tokens for shape in shapes])
    parts = []
    for image in images:
        source = torch.full((len(image.positions),), total)  # the pad token's row
        tokens = shapes[image.request].image_tokens
        source[:tokens] = torch.arange(tokens) + starts[image.request]
        parts.append(source)
    return torch.cat(parts)


def _joint_source(shapes: tuple[Shape, ...], images: list[_ImageSequence]) -> Tensor:
    starts = _starts([len(image.positions) for image in images])
    caption_start = starts[-1]
    parts, image = [], 0
    for shape in shapes:
        for number, caption in enumerate(shape.captions):
            first = starts[image + (number if shape.has_image_padding else 0)]
            parts.append(torch.arange(shape.padded_image_tokens) + first)
            parts.append(torch.arange(caption) + caption_start)
            caption_start += caption
        image += len(shape.captions) if shape.has_image_padding else 1
    return torch.cat(parts)


def _output_rows(shapes: tuple[Shape, ...]) -> Tensor:
    parts, start = [], 0
    for shape in shapes:
        for caption in shape.captions:
            parts.append(torch.arange(shape.image_tokens) + start)
            start += shape.padded_image_tokens + caption
    return torch.cat(parts)


def _starts(lengths: list[int]) -> list[int]:
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    return starts
