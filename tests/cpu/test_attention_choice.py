"""Which library attends can be chosen, and what cannot be had is said."""

from __future__ import annotations

import pytest
import torch

from mezzotint import ConfigError, Engine
from mezzotint.config import make
from mezzotint.engine import build
from mezzotint.engine.device import Device

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
