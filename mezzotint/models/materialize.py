"""Gives the parameters of a module on the meta device their values, one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mezzotint.kernels import Fp8Matrix, Fp8Rows, Fp8Values

MakeValue = Callable[[str, torch.Size], Tensor]
Quantize = Callable[[Tensor], Fp8Rows | Fp8Matrix]
Chooses = Callable[[str], Quantize | None]  # by a parameter's name; None leaves it as it is


def nothing(name: str) -> None:
    """Chooses no parameter."""


def materialize(module: nn.Module, make: MakeValue, fp8: Chooses = nothing) -> None:
    """Replace every parameter by `make(name, shape)`, those that `fp8` chooses by its FP8 form.

    Peak memory is the result and one tensor.
    """
    for name, parameter in list(module.named_parameters()):
        prefix, _, leaf = name.rpartition(".")
        owner = module.get_submodule(prefix)
        value = make(name, parameter.shape)
        quantize = fp8(name)
        if quantize is None:
            setattr(owner, leaf, nn.Parameter(value, requires_grad=False))
        else:
            delattr(owner, leaf)  # torch keeps a parameter's name for parameters
            setattr(owner, leaf, quantize(value))


def bytes_on(device: torch.device, module: nn.Module) -> int:
    """Bytes of a module's weights that lie on a kind of device, those in FP8 with their scales."""
    held = (weight for part in module.modules() for weight in vars(part).values())
    fp8 = (weight for weight in held if isinstance(weight, Fp8Values))
    plain = (weight for weight in module.parameters() if weight.device.type == device.type)
    return sum(rows.nbytes for rows in fp8) + sum(weight.nbytes for weight in plain)
