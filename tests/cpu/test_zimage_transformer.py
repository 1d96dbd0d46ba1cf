"""The packed transformer against diffusers' own, in float32 and bf16, alone and in company."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mezzotint.kernels import Segments
from mezzotint.models.fill import fill
from mezzotint.models.zimage.config import TransformerConfig, padded
from mezzotint.models.zimage.layout import Sequence, Shape, layout
from mezzotint.models.zimage.modulation import Modulations, ModulationTable
from mezzotint.models.zimage.patches import patchify, unpatchify
from mezzotint.models.zimage.rope import caption_positions, rope_tables
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.models.zimage.weights import open_checkpoint

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """One request: latent sides, caption lengths (prompt, or prompt and negative), time."""

    height: int
    width: int
    captions: tuple[int, ...]
    time: float


# Image tokens with and without padding to 32; the caption lengths where paddings change.
CASES = [
    Case(16, 16, (8,), 0.0),
    Case(16, 16, (32, 8), 0.3),
    Case(20, 12, (33,), 0.7),
    Case(20, 12, (64, 8), 0.5),
    Case(8, 32, (512,), 0.9),
    Case(18, 14, (37, 512), 0.25),
]


@dataclass(frozen=True)
class Inputs:
    latent: Tensor  # [16, h, w]
    features: tuple[Tensor, ...]  # [length, caption_width] each
    time: float


def inputs(case: Case, caption_width: int) -> Inputs:
    generator = torch.Generator().manual_seed(hash((case.height, case.width, case.captions)))
    latent = torch.randn(16, case.height, case.width, generator=generator)
    features = tuple(torch.randn(n, caption_width, generator=generator) for n in case.captions)
    return Inputs(latent, features, case.time)


def load_ours(folder: Path, dtype: torch.dtype) -> Transformer:
    checkpoint = open_checkpoint(folder)
    with torch.device("meta"):
        model = Transformer(checkpoint.transformer)
    fill(checkpoint.transformer_weights, model, CPU, dtype)
    return model.eval()


def load_theirs(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    from diffusers import ZImageTransformer2DModel

    return ZImageTransformer2DModel.from_pretrained(folder / "transformer", dtype=dtype).eval()


def refine(model: Transformer, features: list[Tensor]) -> Tensor:
    total, start, source = sum(map(len, features)), 0, []
    for f in features:
        rows = torch.full((padded(len(f)),), total)
        rows[: len(f)] = torch.arange(start, start + len(f))
        start += len(f)
        source.append(rows)
    lengths = [len(rows) for rows in source]
    cos, sin = rope_tables(torch.cat([caption_positions(n) for n in lengths]), model.config)
    request = torch.zeros(sum(lengths), dtype=torch.int64)
    sequence = Sequence(Segments.of(lengths, CPU), request, cos, sin)
    return model.refine_captions(torch.cat(features), torch.cat(source), sequence)


@torch.inference_mode()
def run_ours(model: Transformer, pack: list[Inputs]) -> list[Tensor]:
    """One forward over a pack. -> a velocity [16, h, w] per segment, in order."""
    shapes = tuple(
        Shape(
            i.latent.shape[1] // 2,
            i.latent.shape[2] // 2,
            tuple(padded(len(f)) for f in i.features),
        )
        for i in pack
    )
    tables = layout(shapes, model.config, CPU)
    times = ModulationTable(model.modulation_rows, 8).lookup(tuple(i.time for i in pack), CPU)
    tokens = model(
        torch.cat([patchify(i.latent, model.config) for i in pack]),
        refine(model, [f for i in pack for f in i.features]),
        tables,
        Modulations.of(times, model.config.num_refiner_layers),
    ).split(tables.output_lengths)
    grids = [(s.rows, s.columns) for s in shapes for _ in s.captions]
    return [
        unpatchify(t, rows, columns, model.config)
        for t, (rows, columns) in zip(tokens, grids, strict=True)
    ]


@torch.inference_mode()
def run_theirs(model: torch.nn.Module, item: Inputs, dtype: torch.dtype) -> list[Tensor]:
    return [
        model(
            [item.latent[:, None].to(dtype)],
            torch.tensor([item.time]),
            [f.to(dtype)],
            return_dict=False,
        )[0][0][:, 0]
        for f in item.features
    ]


def distance(a: Tensor, b: Tensor) -> float:
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


@pytest.mark.parametrize("name", ["random_model", "bundled"])
def test_alone_and_packed_equal_diffusers(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    ours, theirs = load_ours(folder, torch.float32), load_theirs(folder, torch.float32)
    items = [inputs(case, ours.config.caption_width) for case in CASES]
    expected = [v for item in items for v in run_theirs(theirs, item, torch.float32)]
    alone = [v for item in items for v in run_ours(ours, [item])]
    packed = run_ours(ours, items)
    assert len(expected) == len(alone) == len(packed) == 9
    for theirs_v, alone_v, packed_v in zip(expected, alone, packed, strict=True):
        assert distance(alone_v, theirs_v) <= 1e-5
        assert distance(packed_v, alone_v) <= 1e-5


@pytest.mark.parametrize("name", ["random_model", "bundled"])
def test_bf16_errs_at_most_half_more_than_diffusers(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    exact = load_ours(folder, torch.float32)
    ours, theirs = load_ours(folder, torch.bfloat16), load_theirs(folder, torch.bfloat16)
    for case in CASES:
        item = inputs(case, ours.config.caption_width)
        truths = run_ours(exact, [item])
        results = zip(
            truths, run_ours(ours, [item]), run_theirs(theirs, item, torch.bfloat16), strict=True
        )
        for truth, our_v, their_v in results:
            assert distance(our_v, truth) <= 1.5 * distance(their_v, truth)


def test_a_segment_never_sees_another(random_model: Path) -> None:
    ours = load_ours(random_model, torch.float32)
    a, b = (inputs(case, ours.config.caption_width) for case in CASES[:2])
    loud = Inputs(b.latent * 100, tuple(f * 100 for f in b.features), b.time)
    assert torch.equal(run_ours(ours, [a, b])[0], run_ours(ours, [a, loud])[0])


def test_full_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = Transformer(TransformerConfig())
    assert sum(p.numel() for p in model.parameters()) == 6_154_908_736


def test_the_noise_refiner_is_shared_only_without_image_padding() -> None:
    config = TransformerConfig()
    clean = layout((Shape(8, 8, (32, 64)),), config, CPU)
    ragged = layout((Shape(10, 6, (32, 64)),), config, CPU)
    assert clean.images.segments.lengths == (64,)
    assert ragged.images.segments.lengths == (64, 64)
    assert clean.joint.segments.lengths == ragged.joint.segments.lengths == (96, 128)
