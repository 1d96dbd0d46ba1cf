"""What a decode at the real size holds at once, counted on tensors without memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mezzotint.models.shared import strips
from mezzotint.models.shared.autoencoder_config import AutoencoderConfig
from mezzotint.models.shared.autoencoder_kl import Decoder
from mezzotint.models.zimage.decode import strip_rows

CONFIG = AutoencoderConfig()
MIB = 2**20


@pytest.mark.parametrize(("side", "most_mib"), [(512, 215), (1024, 660), (2048, 2600)])
def test_strips_hold_little_more_than_the_picture_level_and_what_it_grows_from(
    monkeypatch: pytest.MonkeyPatch, side: int, most_mib: int
) -> None:
    _count_as_the_kernels_do(monkeypatch)
    latent = side // CONFIG.downscale
    rows = strip_rows(CONFIG, latent, latent, 2)
    assert rows is not None
    assert _peak_mib(latent, rows) <= most_mib


def test_whole_a_decode_holds_twice_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    _count_as_the_kernels_do(monkeypatch)
    assert 1200 <= _peak_mib(128, None) <= 1300


def test_small_pictures_are_decoded_whole() -> None:
    assert strip_rows(CONFIG, 32, 32, 2) is None
    assert strip_rows(CONFIG, 16, 16, 4) is None


class _Peak(TorchDispatchMode):
    """Adds up the storages that are alive after each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                self._alive.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self._alive = {k: v for k, v in self._alive.items() if not v[0].expired()}
        self.num_bytes = max(self.num_bytes, sum(size for _, size in self._alive.values()))
        return made


def _peak_mib(latent: int, rows: int | None) -> float:
    with torch.device("meta"):
        decoder = Decoder(CONFIG).bfloat16()
        decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        z = torch.empty(1, CONFIG.latent_channels, latent, latent, dtype=torch.bfloat16)
        with torch.inference_mode(), _Peak() as peak:
            decoder(z, rows)
    return peak.num_bytes / MIB


def _count_as_the_kernels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The references make temporaries in float32; the kernels write their output alone."""

    def affine(x: Tensor, *_: object) -> Tensor:
        return x.new_empty(len(x), 2, x.shape[1], dtype=torch.float32)

    def write(_: Tensor, out: Tensor, *__: object, **___: object) -> Tensor:
        return out.zero_()

    monkeypatch.setattr(strips, "group_norm_affine", affine)
    monkeypatch.setattr(strips, "conv_window", write)
    monkeypatch.setattr(
        strips, "add_bias", lambda x, bias, out, residual=None: write(x, out, bias, residual)
    )
