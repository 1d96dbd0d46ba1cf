"""Packs of unlike requests as data: one recorded forward serves every mix of a size.

A recording is bound to shapes. So the rows of a mix are padded to a bucket, its tables (which token
is where, whose it is, where segments begin) become inputs, and the rows beyond the last segment
belong to nobody: attention skips them and nothing reads what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from mezzotint.kernels import Segments
from mezzotint.models.zimage.config import TransformerConfig
from mezzotint.models.zimage.layout import Layout, Sequence, Shape, layout

ROW_BUCKET = 256  # joint rows: a mix of four 512 x 512 wastes 3 % on average
CAPTION_BUCKET = 256
MAX_SEGMENTS = 16
MAX_REQUESTS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """One mix: what fixes its shapes, and the tables that differ from mix to mix."""

    rows: int  # of the joint sequence and of the images, padded
    captions: int  # caption rows, padded
    tables: tuple[Tensor, ...]
    output_lengths: tuple[int, ...]  # image tokens of each segment

    @property
    def key(self) -> tuple[str, int, int]:
        """Equal for mixes that one recording serves."""
        return ("mixed", self.rows, self.captions)


def fits(shapes: tuple[Shape, ...]) -> bool:
    """Whether these requests are few enough for a recording of mixes."""
    return len(shapes) <= MAX_REQUESTS and sum(len(s.captions) for s in shapes) <= MAX_SEGMENTS


@lru_cache(maxsize=256)
def mix(shapes: tuple[Shape, ...], config: TransformerConfig, device: torch.device) -> Mix:
    """Pad a pack's layout to its buckets. -> tables on `device`."""
    exact = layout(shapes, config, device)
    num_images, num_joint = len(exact.images.request), len(exact.joint.request)
    rows = _bucket(num_joint, ROW_BUCKET)
    num_captions = sum(sum(shape.captions) for shape in shapes)
    num_patches = sum(shape.image_tokens for shape in shapes)
    image_source = _in_full(exact.image_source, num_images, device)
    image_source = image_source.where(image_source < num_patches, rows)
    joint_source = _in_full(exact.joint_source, num_joint, device)
    joint_source = joint_source.where(joint_source < num_images, joint_source + rows - num_images)
    tables = (
        _pad(image_source, rows),
        _pad(joint_source, rows),
        _pad(_in_full(exact.output, sum(exact.output_lengths), device), rows),
        *_sequence_tables(exact.images, rows),
        *_sequence_tables(exact.joint, rows),
    )
    return Mix(rows, _bucket(num_captions, CAPTION_BUCKET), tables, exact.output_lengths)


def layout_of(tables: tuple[Tensor, ...]) -> Layout:
    """The layout that a mix's tables describe, on whatever tensors hold them."""
    image_source, joint_source, output, *sequences = tables
    return Layout(
        images=_sequence(*sequences[:5]),
        image_source=image_source,
        joint=_sequence(*sequences[5:]),
        joint_source=joint_source,
        output=output,
        output_lengths=(),
    )


def pad_rows(x: Tensor, rows: int) -> Tensor:
    """x [n, ...] with zeros below, to `rows` rows."""
    return functional.pad(x, (0, 0) * (x.ndim - 1) + (0, rows - x.shape[0]))


def _in_full(index: Tensor | None, count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device) if index is None else index


def _bucket(count: int, size: int) -> int:
    return -(-count // size) * size


def _pad(index: Tensor, rows: int) -> Tensor:
    return functional.pad(index, (0, rows - len(index)))


def _sequence_tables(seq: Sequence, rows: int) -> tuple[Tensor, ...]:
    starts = seq.segments.cu_seqlens
    # Segments that do not exist begin and end where the last one ends.
    bounds = torch.cat([starts, starts[-1:].expand(MAX_SEGMENTS + 1 - len(starts))])
    return (
        bounds,
        _pad(seq.segments.index, rows),
        _pad(seq.request, rows),
        pad_rows(seq.cos, rows),
        pad_rows(seq.sin, rows),
    )


def _sequence(bounds: Tensor, index: Tensor, request: Tensor, cos: Tensor, sin: Tensor) -> Sequence:
    return Sequence(Segments(None, index, bounds, len(index)), request, cos, sin)
