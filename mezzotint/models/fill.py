"""Reads a checkpoint's tensors, one at a time, into a module's parameters."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

import torch
from torch import Tensor, nn

from mezzotint.models.checkpoint import Weights
from mezzotint.models.materialize import Chooses, materialize, nothing
from mezzotint.models.safetensors_file import AGAIN, READABLE, Stamp, StoredTensor
from mezzotint.types import ModelError

_DTYPES: Final = dict(zip(READABLE, (torch.float32, torch.bfloat16), strict=True))


def fill(
    weights: Weights,
    module: nn.Module,
    device: torch.device,
    dtype: torch.dtype,
    fp8: Chooses = nothing,
) -> None:
    """Give every parameter of a module (on the meta device) its values; see materialize.

    Each value is a copy in memory of its own: the files may go once this returns. ModelError
    where parameters and tensors do not match.
    """
    if odd := dict(module.named_parameters()).keys() ^ weights.sources.keys():
        raise ModelError(
            f"{type(module).__name__} and its checkpoint do not match in {min(odd)}; "
            "give the module the checkpoint's own configuration"
        )

    def read(name: str, shape: torch.Size) -> torch.Tensor:
        value = torch.empty(shape, dtype=dtype, device=device)
        _read_rows(name, weights.sources[name], value)
        weights.on_read(sum(tensor.num_bytes for tensor in weights.sources[name]))
        return value

    materialize(module, read, fp8)


def read_into(stored: StoredTensor, out: Tensor) -> None:
    """Copy the values into `out`, of the same number of elements, any dtype and device.

    Read, not mapped: a file that shrinks under a mapping kills the process, and a mapping
    would hold the file's pages as long as the model lives. Only a cast or another device
    costs a second buffer, of this one tensor. ModelError if the file changed since opened.
    """
    dtype = _DTYPES[stored.dtype]
    direct = out.device.type == "cpu" and out.dtype == dtype and out.is_contiguous()
    buffer = out if direct else torch.empty(stored.shape, dtype=dtype)
    try:
        with stored.file.path.open("rb", buffering=0) as file:
            _check_unchanged(stored.file, file)
            file.seek(stored.start)
            _read_exactly(file, buffer.view(-1).view(torch.uint8).numpy().data)
    except (OSError, EOFError) as error:
        raise ModelError(f"{stored.file.path} cannot be read ({error}); {AGAIN}") from error
    if not direct:
        out.copy_(buffer.view(out.shape))


def _read_rows(name: str, pieces: tuple[StoredTensor, ...], value: torch.Tensor) -> None:
    num_rows = sum(piece.shape[0] for piece in pieces)
    num_elements = sum(piece.num_elements for piece in pieces)
    if num_rows != value.shape[0] or num_elements != value.numel():
        raise ModelError(
            f"{name} is {list(value.shape)} in the module and not in {pieces[0].file.path}; "
            "give the module the checkpoint's own configuration"
        )
    row = 0
    for piece in pieces:
        read_into(piece, value[row : row + piece.shape[0]])
        row += piece.shape[0]


def _check_unchanged(stamp: Stamp, file: BinaryIO) -> None:
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime_ns) != (stamp.num_bytes, stamp.modified_ns):
        raise ModelError(f"{stamp.path} changed while the model was being loaded; start again")


def _read_exactly(file: BinaryIO, target: memoryview) -> None:
    done = 0
    while done < len(target):  # one read gives 2 GiB at most
        count = file.readinto(target[done:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"it ends {len(target) - done} bytes early")
        done += count
