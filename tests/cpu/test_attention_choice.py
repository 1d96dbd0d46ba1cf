"""Which library attends can be chosen, and what cannot be had is said."""

from __future__ import annotations

import pytest
import torch

from mezzotint import ConfigError, Engine
from mezzotint.config import make
from mezzotint.engine import build
from mezzotint.engine.device import Device
from mezzotint.kernels import Backend, Segments, attention_reads_bounds
from mezzotint.kernels.attention import cuda
from mezzotint.types import ResourceError

GPU = Device(torch.device("cuda"), torch.bfloat16, "bf16", "some GPU")


def test_a_cpu_takes_no_gpu_library() -> None:
    with pytest.raises(ConfigError, match="attention cudnn runs on a GPU"):
        Engine(device="cpu", attention="cudnn")


def test_what_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "has_fa4", lambda: False)
    with pytest.raises(ConfigError, match=r"mezzotint\[fa4\]"):
        build._attention(make(attention="fa4"), GPU)
    assert build._attention(make(), GPU) is None
    assert build._attention(make(attention="flash"), GPU) == "flash"


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="attention"):
        make(attention="xformers")


def test_fp32_takes_no_library_of_bfloat16() -> None:
    exact = Device(torch.device("cuda"), torch.float32, "fp32", "some GPU")
    with pytest.raises(ConfigError, match="attention fa4 works in bfloat16"):
        build._attention(make(attention="fa4"), exact)


@pytest.mark.parametrize(
    ("major", "dtype", "backend", "expected"),
    [
        (9, torch.bfloat16, None, True),
        (9, torch.float32, None, False),
        (9, torch.bfloat16, "cudnn", False),
        (8, torch.bfloat16, None, False),  # the table of other GPUs has no flash-attn-4
        (8, torch.bfloat16, "fa4", True),
    ],
)
def test_mixes_are_recorded_where_attention_finds_its_segments(
    monkeypatch: pytest.MonkeyPatch,
    major: int,
    dtype: torch.dtype,
    backend: Backend | None,
    expected: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 0))
    monkeypatch.setattr(cuda, "has_fa4", lambda: True)
    cuda._choose.cache_clear()
    try:
        gpu = torch.device("cuda")
        assert attention_reads_bounds(gpu, dtype, 128, backend) is expected
    finally:
        cuda._choose.cache_clear()
    assert not attention_reads_bounds(torch.device("cpu"), dtype, 128, backend)


def test_a_chosen_library_gives_way_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> torch.Tensor:
        raise RuntimeError("No available kernel. Aborting execution.")

    monkeypatch.setattr(cuda, "reference", fails)
    q = torch.zeros(8, 2, 48, dtype=torch.bfloat16)
    with pytest.raises(ResourceError, match="attention cudnn does not take heads of 48"):
        cuda.attention(q, q, q, Segments.of((8,), q.device), backend="cudnn")
