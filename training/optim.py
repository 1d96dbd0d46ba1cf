"""Optimisers: Muon for the matrices of the blocks, AdamW for the rest; averages of the weights."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5


class Muon:
    """Momentum whose update is made orthogonal; equal shapes are stacked, so a step is few kernels.

    The update is scaled to the size AdamW's has (0.2 root mean square), so both share a rate.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], decay: float, momentum: float = 0.95):
        groups: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            groups[matrix.shape].append(matrix)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros_like(torch.stack([p.data for p in g])) for g in self.groups]
        self.decay, self.momentum = decay, momentum

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every matrix from its gradient."""
        for group, buffer in zip(self.groups, self.buffers, strict=True):
            gradient = torch.stack([p.grad for p in group]).float()
            buffer.lerp_(gradient, 1 - self.momentum)
            update = _orthogonal(gradient.lerp(buffer, self.momentum))
            update = update * (0.2 * max(update.shape[-2:]) ** 0.5)
            torch._foreach_mul_([p.data for p in group], 1 - rate * self.decay)
            torch._foreach_add_([p.data for p in group], list(update.unbind()), alpha=-rate)


class Optimizer:
    """AdamW over all parameters, or Muon for block matrices and AdamW for what is left."""

    def __init__(self, modules: Iterable[nn.Module], decay: float, muon: bool = True) -> None:
        named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if muon and _is_block_matrix(n, p)]
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        self.parameters = [p for _, p in named]
        self.muon = Muon(matrices, decay)
        fused = rest[0].is_cuda
        self.adam = torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=decay, fused=fused)

    def step(self, rate: float, clip: float = 1.0) -> Tensor:
        """Clip, update, clear the gradients; returns the gradient's norm before clipping."""
        for p in self.parameters:  # a part no loss reaches, such as the encoder's last layer
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        norm = nn.utils.clip_grad_norm_(self.parameters, clip)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.muon.step(rate)
        for p in self.parameters:
            p.grad = None
        return norm


class Average:
    """An exponential moving average of modules' parameters, kept as plain copies."""

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.source = [p for m in modules for p in m.parameters()]
        self.values = [p.detach().clone() for p in self.source]
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the parameters; faster in the first steps."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.source], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and parameters: once to use the average, once more to go on."""
        for p, value in zip(self.source, self.values, strict=True):
            kept = p.detach().clone()
            p.copy_(value)
            value.copy_(kept)


def _is_block_matrix(name: str, parameter: nn.Parameter) -> bool:
    """The attention and feed-forward matrices; embeddings, modulation and ends stay with AdamW."""
    inside = "layers." in name or "refiner." in name
    return inside and parameter.ndim == 2 and "adaLN" not in name


def _orthogonal(x: Tensor) -> Tensor:
    """The nearest orthogonal matrix of each of [N, rows, columns], by Newton-Schulz."""
    x = x.bfloat16() if x.is_cuda else x  # a CPU has no fast bf16 product
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for a, b, c in _NEWTON_SCHULZ:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()
