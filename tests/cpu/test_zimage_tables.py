"""Schedules, positions and modulation rows against the published values."""

from __future__ import annotations

import pytest
import torch

from mezzotint.models.zimage.config import TransformerConfig, padded
from mezzotint.models.zimage.layout import Shape
from mezzotint.models.zimage.modulation import Modulations, ModulationTable
from mezzotint.models.zimage.patches import patchify, unpatchify
from mezzotint.models.zimage.rope import caption_positions, image_positions, rope_tables
from mezzotint.samplers import flow_sigmas

CPU = torch.device("cpu")


def test_turbo_schedule() -> None:
    published = (1, 0.9545454, 0.9, 0.8333333, 0.75, 0.6428571, 0.5, 0.3, 0)
    assert flow_sigmas(8, 3.0) == pytest.approx(published, abs=1e-6)
    times = [(1 - sigma) * 1000 for sigma in flow_sigmas(8, 3.0)[:-1]]
    assert times == pytest.approx([0, 45.4545, 100, 166.667, 250, 357.143, 500, 700], abs=1e-3)


@pytest.mark.parametrize("shift", [1.0, 1.5, 3.0, 6.0])
@pytest.mark.parametrize("steps", [1, 4, 8, 9, 40, 50])
def test_schedule_equals_diffusers(steps: int, shift: float) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.z_image.pipeline_z_image import get_default_z_image_sigmas

    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)
    scheduler.set_timesteps(sigmas=get_default_z_image_sigmas(steps), device="cpu", mu=0.5)
    assert flow_sigmas(steps, shift) == pytest.approx(scheduler.sigmas.tolist(), abs=1e-6)


def test_a_schedule_needs_a_step() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        flow_sigmas(0, 3.0)


def test_positions() -> None:
    assert padded(37) == 64
    assert padded(64) == 64
    caption = caption_positions(64)
    assert caption[0].tolist() == [1, 0, 0]
    assert caption[-1].tolist() == [64, 0, 0]
    image = image_positions(rows=3, columns=5, padded_length=32, caption_length=64)
    assert image[0].tolist() == [65, 0, 0]
    assert image[7].tolist() == [65, 1, 2]
    assert image[14].tolist() == [65, 2, 4]
    assert not image[15:].any()


@pytest.mark.parametrize(
    ("width", "height", "clean"),
    [
        (1024, 1024, True),
        (768, 768, True),
        (1024, 576, True),
        (1344, 768, True),
        (1152, 896, True),
        (1280, 720, False),
        (1360, 768, False),
    ],
)
def test_which_sizes_have_image_padding(width: int, height: int, clean: bool) -> None:
    assert Shape(height // 16, width // 16, (32,)).has_image_padding != clean


def test_rope_equals_diffusers() -> None:
    from diffusers.models.transformers.transformer_z_image import RopeEmbedder

    config = TransformerConfig()
    positions = torch.cat([caption_positions(544), image_positions(64, 70, 4480, 544)])
    theirs = RopeEmbedder(256.0, list(config.axes_dims), list(config.axes_lens))(positions)
    cos, sin = rope_tables(positions, config)
    torch.testing.assert_close(cos, theirs.real, atol=2e-7, rtol=0)
    torch.testing.assert_close(sin, theirs.imag, atol=2e-7, rtol=0)


def test_patchify_puts_channels_fastest_and_inverts() -> None:
    config = TransformerConfig()
    latent = torch.arange(16 * 4 * 6, dtype=torch.float32).view(16, 4, 6)
    tokens = patchify(latent, config)
    assert tokens.shape == (6, 64)
    assert tokens[1, :16].tolist() == latent[:, 0, 2].tolist()
    assert tokens[1, 16:32].tolist() == latent[:, 0, 3].tolist()
    assert tokens[4, 32:48].tolist() == latent[:, 3, 2].tolist()
    assert torch.equal(unpatchify(tokens, 2, 3, config), latent)


def test_modulation_rows_are_computed_once_per_time() -> None:
    computed: list[float] = []

    def compute(t: torch.Tensor) -> torch.Tensor:
        computed.extend(t.tolist())
        return t[:, None, None].expand(-1, 9, 4).clone()

    table = ModulationTable(compute, capacity=2)
    assert table.lookup((0.5,), CPU).shape == (1, 9, 4)
    assert table.lookup((0.5, 0.25), CPU)[:, 0, 0].tolist() == [0.5, 0.25]
    assert table.lookup((0.5, 0.5), CPU).shape == (1, 9, 4)  # one row serves both
    assert computed == [0.5, 0.25]
    assert table.lookup((0.75, 0.5), CPU)[:, 0, 0].tolist() == [0.75, 0.5]  # evicts 0.25
    assert table.lookup((0.25,), CPU)[0, 0, 0].item() == 0.25
    assert computed == [0.5, 0.25, 0.75, 0.25]
    with pytest.raises(ValueError, match="3 times"):
        table.lookup((0.1, 0.2, 0.3), CPU)


def test_a_table_makes_rows_as_they_are_needed_and_keeps_them_where_they_are() -> None:
    table = ModulationTable(lambda t: t[:, None, None].expand(-1, 3, 2), capacity=20)
    times = [i / 40 for i in range(20)]
    first = [table.lookup((time,), CPU) for time in times]
    sizes = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in first}
    assert sorted(sizes.values()) == [row * 3 * 2 * 4 for row in (4, 8, 8)]
    assert [table.lookup((time,), CPU).data_ptr() for time in times] == [
        x.data_ptr() for x in first
    ]
    assert table.lookup(tuple(times), CPU)[:, 0, 0].tolist() == pytest.approx(times)
    with pytest.raises(ValueError, match="0 times in one pack; the table takes 1 to 20"):
        table.lookup((), CPU)


def test_modulations_name_the_rows_in_order() -> None:
    rows = torch.arange(13.0)[None, :, None].expand(1, 13, 2)
    m = Modulations.of(rows, num_refiner_layers=1)
    assert m.noise_refiner[0].gate_msa[0, 0] == 1
    assert len(m.layers) == 2
    assert m.layers[1].gate_mlp[0, 0] == 11
    assert m.final_scale[0, 0] == 12
