"""Gives the parameters of a module on the meta device their values, one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mezzotint.kernels import Fp8Rows, quantize_rows

MakeValue = Callable[[str, torch.Size], Tensor]
Chooses = Callable[[str], bool]  # by a parameter's name


def nothing(name: str) -> bool:
    """Chooses no parameter."""
    return False


def materialize(module: nn.Module, make: MakeValue, fp8: Chooses = nothing) -> None:
    """Replace every parameter by `make(name, shape)`, those that `fp8` chooses by its FP8 rows.

    Peak memory is the result and one tensor.
    """
    for name, parameter in list(module.named_parameters()):
        prefix, _, leaf = name.rpartition(".")
        owner = module.get_submodule(prefix)
        value = make(name, parameter.shape)
        if fp8(name):
            delattr(owner, leaf)  # torch keeps a parameter's name for parameters
            setattr(owner, leaf, quantize_rows(value))
        else:
            setattr(owner, leaf, nn.Parameter(value, requires_grad=False))


def bytes_on(device: torch.device, module: nn.Module) -> int:
    """Bytes of a module's weights that lie on a kind of device, those in FP8 with their scales."""
    fp8 = (w for m in module.modules() for w in vars(m).values() if isinstance(w, Fp8Rows))
    plain = (weight for weight in module.parameters() if weight.device.type == device.type)
    return sum(rows.nbytes for rows in fp8) + sum(weight.nbytes for weight in plain)
