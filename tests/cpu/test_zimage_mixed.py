"""A recorded forward for mixes gives every request what a forward of its own shapes gives it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mezzotint.models.fill import fill
from mezzotint.models.zimage.layout import Shape, layout
from mezzotint.models.zimage.mixed import (
    MAX_REQUESTS,
    MAX_SEGMENTS,
    fits,
    layout_of,
    mix,
    pad_rows,
)
from mezzotint.models.zimage.modulation import Modulations
from mezzotint.models.zimage.transformer import Transformer
from mezzotint.models.zimage.weights import open_checkpoint

CPU = torch.device("cpu")
MIXES = [
    (Shape(8, 8, (32,)), Shape(10, 6, (64,)), Shape(4, 16, (32, 96))),
    (Shape(10, 6, (64, 32)), Shape(8, 8, (32,))),
    (Shape(8, 8, (32,)),),
]


@pytest.fixture(scope="module")
def transformer(random_model: Path) -> Transformer:
    checkpoint = open_checkpoint(random_model)
    with torch.device("meta"):
        model = Transformer(checkpoint.transformer)
    fill(checkpoint.transformer_weights, model, CPU, torch.float32)
    return model.eval()


def draw(model: Transformer, shapes: tuple[Shape, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Patches, captions and modulation rows of a pack."""
    generator = torch.Generator().manual_seed(7)
    patches = sum(shape.image_tokens for shape in shapes)
    captions = sum(sum(shape.captions) for shape in shapes)
    x = torch.randn(patches, model.config.patch_width, generator=generator)
    c = torch.randn(captions, model.config.dim, generator=generator)
    return x, c, model.modulation_rows(torch.linspace(0.1, 0.8, len(shapes)))


@pytest.mark.parametrize("shapes", MIXES)
@torch.inference_mode()
def test_a_mix_gives_what_its_own_shapes_give(
    transformer: Transformer, shapes: tuple[Shape, ...]
) -> None:
    config = transformer.config
    x, c, t = draw(transformer, shapes)
    own = layout(shapes, config, CPU)
    expected = transformer(x, c, own, Modulations.of(t, config.num_refiner_layers))
    pack = mix(shapes, config, CPU)
    found = transformer(
        pad_rows(x, pack.rows),
        pad_rows(c, pack.captions),
        layout_of(pack.tables),
        Modulations.of(pad_rows(t, MAX_REQUESTS), config.num_refiner_layers),
    )
    assert pack.output_lengths == own.output_lengths
    torch.testing.assert_close(found[: len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_mixes_of_one_size_share_their_shapes(transformer: Transformer) -> None:
    one = mix((Shape(8, 8, (32,)), Shape(10, 6, (64,))), transformer.config, CPU)
    other = mix((Shape(6, 10, (96,)), Shape(8, 8, (32,))), transformer.config, CPU)
    assert one.key == other.key
    assert [x.shape for x in one.tables] == [x.shape for x in other.tables]


def test_what_a_recording_cannot_hold_does_not_fit() -> None:
    guided = Shape(8, 8, (32, 32))
    assert fits((guided,) * MAX_REQUESTS)
    assert MAX_SEGMENTS == 2 * MAX_REQUESTS
    assert not fits((Shape(8, 8, (32,)),) * (MAX_REQUESTS + 1))
