"""Packs: which requests do what together next; plain values with no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from mezzotint.models.spec import DecodeRow, EncodeRow, StepRow

StageName = Literal["encode", "denoise", "decode"]
STAGES: tuple[StageName, ...] = ("encode", "denoise", "decode")


@dataclass(frozen=True, slots=True)
class EncodePack:
    """Requests whose prompts are encoded together."""

    stage: ClassVar[StageName] = "encode"
    requests: tuple[int, ...]  # ids, one a row
    rows: tuple[EncodeRow, ...]


@dataclass(frozen=True, slots=True)
class DenoisePack:
    """Requests that take their next step together."""

    stage: ClassVar[StageName] = "denoise"
    requests: tuple[int, ...]
    rows: tuple[StepRow, ...]


@dataclass(frozen=True, slots=True)
class DecodePack:
    """Requests whose latents become pixels together."""

    stage: ClassVar[StageName] = "decode"
    requests: tuple[int, ...]
    rows: tuple[DecodeRow, ...]


Pack = EncodePack | DenoisePack | DecodePack
