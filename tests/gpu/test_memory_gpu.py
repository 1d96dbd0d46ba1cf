"""Memory on an NVIDIA GPU: plans that hold, strips, and what happens when it runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mezzotint import Engine, Request
from mezzotint.config import Config
from mezzotint.engine import engine as engine_module
from mezzotint.engine.device import Device
from mezzotint.engine.graphs import GraphCache
from mezzotint.engine.plan import MemoryPlan
from mezzotint.engine.unheld import give_back
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.spec import Denoise, SlotBuffers, StepRow
from mezzotint.models.zimage.decode import strip_rows
from mezzotint.types import RequestError, ResourceError

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

MIB, GIB = 2**20, 2**30
MORE_THAN_ANY_GPU = 2**42  # bytes
SMALL = Request(prompt="a red apple on green grass", seed=1, steps=4)
LARGE = replace(SMALL, width=192, height=192)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(device="cuda") as engine:
        yield engine


def test_at_an_odd_size_that_request_fails_and_nothing_is_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [engine.submit(SMALL).result(120).data for _ in range(3)][-1]
    executor = engine._loop._executor
    denoise: Denoise = executor._model.denoise

    def faulty(rows: Sequence[StepRow], slots: SlotBuffers) -> None:
        denoise(rows, slots)
        if any(row.width == LARGE.width for row in rows):
            torch.empty(MORE_THAN_ANY_GPU, dtype=torch.uint8, device="cuda")

    monkeypatch.setattr(executor, "_model", replace(executor._model, denoise=faulty))

    def fail() -> None:
        with pytest.raises(ResourceError, match=r"memory ran out while 192x192 was denoised"):
            engine.submit(LARGE).result(120)

    fail()
    allocated, reserved = _memory()
    for _ in range(50):
        fail()
    now_allocated, now_reserved = _memory()
    assert now_allocated <= allocated + MIB
    assert now_reserved <= reserved + 32 * MIB
    assert engine.submit(SMALL).result(120).data == expected


def test_in_a_capture_the_engine_goes_on_and_nothing_is_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [engine.submit(SMALL).result(120).data for _ in range(3)][-1]
    capture = GraphCache._capture
    failures: list[Hashable] = []

    def faulty(
        self: GraphCache, key: Hashable, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> Any:
        def too_much(*x: Tensor) -> Tensor:
            y = function(*x)
            failures.append(key)
            torch.empty(MORE_THAN_ANY_GPU, dtype=torch.uint8, device="cuda")
            return y

        return capture(self, key, too_much, inputs)

    for cache in engine._loop._graphs.caches:
        cache.drop()
    monkeypatch.setattr(GraphCache, "_capture", faulty)
    _ends(engine, expected)
    allocated, reserved = _memory()
    for _ in range(50):
        _ends(engine, expected)
    now_allocated, now_reserved = _memory()
    assert len(failures) > 50
    assert now_allocated <= allocated + MIB
    assert now_reserved <= reserved + 32 * MIB
    monkeypatch.setattr(GraphCache, "_capture", capture)
    for _ in range(3):
        assert engine.submit(SMALL).result(120).data == expected
    before = engine._loop._graphs.count()
    assert engine.submit(SMALL).result(120).data == expected
    assert engine._loop._graphs.only_replays_since(before)


def test_engines_opened_one_after_the_other_do_not_each_leave_memory() -> None:
    held = []
    for _ in range(4):
        with Engine(device="cuda") as one:
            for _ in range(3):
                one.submit(SMALL).result(120)
        del one
        give_back()
        held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[1] + MIB


def test_embedding_rows_on_the_host_are_the_same_rows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.memory.rows_on_host
    plan = engine_module.plan_memory

    def on_the_device(config: Config, place: Device) -> MemoryPlan:
        return replace(plan(config, place), rows_on_host=False)

    monkeypatch.setattr(engine_module, "plan_memory", on_the_device)
    with Engine(device="cuda") as other:
        rows = other.memory.footprint.text_rows
        assert other._model.weights_bytes - engine._model.weights_bytes == rows
        prompts = ["a blue car", "三颗黄色的星星", "a cat " * 40]
        for prompt in prompts:
            ours, theirs = (
                each.submit(replace(SMALL, prompt=prompt)).result(120) for each in (engine, other)
            )
            assert ours.data == theirs.data


@pytest.mark.parametrize("side", [1024, 2048])
def test_strips_of_the_real_decoder_equal_the_whole_and_hold_less(side: int) -> None:
    decoder = _decoder()
    latent_side = side // decoder.config.downscale
    generator = torch.Generator("cuda").manual_seed(0)
    z = torch.randn(1, 16, latent_side, latent_side, generator=generator, device="cuda").bfloat16()
    rows = strip_rows(decoder.config, latent_side, latent_side, 2)
    assert rows is not None
    whole, whole_bytes = _peak(lambda: decoder(z))
    strips, strips_bytes = _peak(lambda: decoder(z, rows))
    span = (whole.max() - whole.min()).item()
    error = (strips - whole).float().square().mean().sqrt().item()
    psnr = 20 * math.log10(span / error) if error else math.inf
    print(f"{side}: {whole_bytes / MIB:.0f} MiB whole, {strips_bytes / MIB:.0f}; {psnr:.1f} dB")
    assert psnr >= 50
    assert strips_bytes <= 0.65 * whole_bytes
    assert strips_bytes <= 0.9 * GIB * (side / 1024) ** 2


@pytest.mark.parametrize(("precision", "budget"), [("bf16", "21GiB"), ("fp8", "13GiB")])
def test_the_real_model_keeps_to_a_budget(precision: str, budget: str) -> None:
    if precision == "fp8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("needs FP8")
    before, before_reserved = _memory()
    torch.cuda.reset_peak_memory_stats()
    options = {"device": "cuda", "precision": precision, "memory": budget}
    with Engine(random_weights="z-image-turbo", **options) as engine:
        request = Request(prompt="anything at all", seed=1, steps=2)
        for side in (1024, 512, 1024, 512, 1024, 512):
            engine.submit(replace(request, width=side, height=side)).result(300)
        tickets = engine.submit_all([replace(request, seed=n) for n in range(6)])
        for ticket in tickets:
            ticket.result(300)
        with pytest.raises(RequestError, match=r"2048x2048 takes .* largest square that fits is"):
            engine.submit(replace(request, width=2048, height=2048))
        peak = torch.cuda.max_memory_allocated() - before
        held = torch.cuda.max_memory_reserved()
        plan = engine.memory
        print(f"{precision}: peak {peak / GIB:.2f} GiB, reserved {held / GIB:.2f}, plan {plan}")
        assert held <= before_reserved + plan.budget.num_bytes + 32 * MIB
        failed = engine.stats().outcomes.get("failed", 0)
        assert failed == 0


def test_the_real_models_graphs_stay() -> None:
    """Sizes in turn within the memory that graphs are given: what was seen twice is replayed."""
    sizes = ((1024, 1024), (512, 512), (1152, 896), (960, 1088), (576, 464))
    with Engine(random_weights="z-image-turbo", device="cuda") as engine:
        requests = [
            Request(prompt="a fox", width=width, height=height, steps=2) for width, height in sizes
        ]
        for request in requests * 2:
            engine.submit(request).result(300)
        graphs = engine._loop._graphs
        before = graphs.count()
        for request in requests:
            engine.submit(request).result(300)
        print(f"{len(sizes)} sizes: {graphs.num_bytes / MIB:.0f} MiB of graphs")
        assert graphs.only_replays_since(before)
        assert graphs.num_bytes <= engine.memory.graphs


def _ends(engine: Engine, expected: bytes) -> None:
    """A picture comes out whole, or its request ends with the sentence; nothing else may be."""
    try:
        assert engine.submit(SMALL).result(120).data == expected
    except ResourceError as error:
        assert "memory ran out" in str(error)  # noqa: PT017 - either end is right


def _memory() -> tuple[int, int]:
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated(), torch.cuda.memory_reserved()


@torch.inference_mode()
def _peak(run: Callable[[], Tensor]) -> tuple[Tensor, int]:
    run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = run()
    torch.cuda.synchronize()
    return result, torch.cuda.max_memory_allocated() - before


def _decoder() -> Decoder:
    """The real size; random weights of a scale that keeps activations as large as they were."""
    generator = torch.Generator("cuda").manual_seed(0)
    decoder = Decoder(AutoencoderConfig()).cuda().bfloat16().requires_grad_(False)
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    return decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
