"""Attention in FP8: what its rounding keeps, the kernel in an interpreter, and its switch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from triton_programs import needs_triton, printed

from mezzotint import ConfigError, Engine, Request
from mezzotint.config import make, name_precision, read_precision
from mezzotint.engine import build
from mezzotint.engine.device import Device
from mezzotint.images.fidelity import psnr_db
from mezzotint.kernels import Segments, attention_fp8, harness, qk_norm_rope
from mezzotint.kernels.attention.cases import formula as exact
from mezzotint.kernels.attention_fp8.cases import SWEEP, inputs
from mezzotint.kernels.fp8 import FP8, saturate

CPU = torch.device("cpu")


def drawn(lengths: tuple[int, ...], heads: int = 2, head_dim: int = 64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return inputs(lengths, heads, head_dim, generator, torch.float32)[:3]


def error(y: Tensor, truth: Tensor) -> float:
    found: float = ((y.double() - truth.double()).norm() / truth.double().norm()).item()
    return found


def test_numbers_that_e4m3_holds_are_kept() -> None:
    q = torch.zeros(3, 1, 32).to(FP8)  # every key weighs the same
    v = torch.tensor([448.0, -13.0, 0.0])[:, None, None].expand(3, 1, 32).contiguous()
    y = attention_fp8(q, q, v, Segments.of((3,), CPU))
    assert torch.equal(y, torch.full((3, 32), 145.0))


def test_it_errs_as_its_two_roundings_do() -> None:
    q, k, v = drawn((300,))
    segments = Segments.of((300,), CPU)
    truth = exact(q.double(), k.double(), v.double(), segments)
    unit = 2.0**-4  # e4m3's: a rounding changes a number by this part of it at most
    found = error(attention_fp8(q, k, v, segments), truth)
    rounded = saturate(v).float()  # v alone, the lesser half
    assert error(exact(q.float(), k.float(), rounded, segments), truth) < found < 2 * unit


def test_company_changes_no_rounding() -> None:
    q, k, v = drawn((90, 140, 45))
    y = attention_fp8(q, k, v, Segments.of((90, 140, 45), CPU))
    alone = attention_fp8(q[90:230], k[90:230], v[90:230], Segments.of((140,), CPU))
    assert error(y[90:230], alone) < 1e-3  # where rounding differs it is 4e-2


def test_any_size_of_v_is_in_range() -> None:
    q, k, v = drawn((70,))
    segments = Segments.of((70,), CPU)
    y = attention_fp8(q, k, v, segments)
    assert error(attention_fp8(q, k, v * 2.0**20, segments), y * 2.0**20) < 1e-5
    assert not attention_fp8(q, k, torch.zeros_like(v), segments).any()


def test_rows_of_no_segment_are_zeros() -> None:
    q, k, v = drawn((40,))
    bounds = torch.tensor([0, 30, 30], dtype=torch.int32)
    y = attention_fp8(q, k, v, Segments(None, torch.zeros(40, dtype=torch.int64), bounds, 40))
    assert torch.equal(y[:30], attention_fp8(q[:30], k[:30], v[:30], Segments.of((30,), CPU)))
    assert not y[30:].any()


def test_heads_that_the_kernel_would_misread_are_refused() -> None:
    q, k, v = drawn((8,))
    segments = Segments.of((8,), CPU)
    with pytest.raises(ValueError, match="equal ones with heads of"):
        attention_fp8(q[:, :1], k, v, segments)
    with pytest.raises(ValueError, match=r"\.contiguous\(\)"):
        attention_fp8(q, k, v.transpose(0, 1).contiguous().transpose(0, 1), segments)
    with pytest.raises(TypeError, match="float8_e4m3fn"):
        attention_fp8(q.float(), k, v, segments)


def test_q_and_k_come_rounded_from_their_norms() -> None:
    case = next(c for c in harness.CASES if (c.op, c.name) == ("qk_norm_rope", "odd-fp8"))
    *arguments, quantize = case.inputs(torch.Generator().manual_seed(0), torch.float32)
    assert quantize
    q, k, v = qk_norm_rope(*arguments, quantize=True)
    exact_q, exact_k, exact_v = qk_norm_rope(*arguments)
    assert torch.equal(q.float(), exact_q.to(FP8).float())
    assert torch.equal(k.float(), exact_k.to(FP8).float())
    assert torch.equal(v, exact_v)


@needs_triton
def test_every_launch_in_the_interpreter() -> None:
    rows = printed("interpret_attention_fp8.py")
    assert len(rows) == len(SWEEP)
    for row in rows:
        assert row["error"] <= harness.MARGIN * row["plain_error"], row
        assert row["spare"] == 0, row


def test_a_cpu_emulates_it_and_the_picture_says_so() -> None:
    request = Request(prompt="a red cup", seed=0, steps=2)
    pictures = []
    for options in ({}, {"attention": "fp8"}):
        with Engine(device="cpu", precision="bf16", **options) as engine:
            pictures.append(engine.submit(request).result())
    plain, ours = pictures
    assert plain.provenance.precision == "bf16"
    assert ours.provenance.precision == "bf16+attention"
    assert 20 < psnr_db(plain.pixels, ours.pixels) < 60


def test_a_name_is_read_back() -> None:
    for precision in ("fp32", "bf16", "fp8"):
        for attention in ("auto", "fp8"):
            name = name_precision(precision, attention)
            assert read_precision(name) == {"precision": precision, "attention": attention}
    assert name_precision("bf16", "cudnn") == "bf16"


def test_a_gpu_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Device(torch.device("cuda"), torch.bfloat16, "bf16", "some GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    assert build._attention(make(attention="fp8"), place) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 9))
    with pytest.raises(ConfigError, match="compute capability 9"):
        build._attention(make(attention="fp8"), place)
