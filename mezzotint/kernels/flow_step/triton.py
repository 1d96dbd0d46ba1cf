"""x' = x - (sigma' - sigma) * guided(pos, neg): one Euler step of the flow, in float32.

Where the guided norm is capped, a first launch leaves each program's share of the two norms;
they are summed in a fixed order, so the same latent always makes the same bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mezzotint.kernels.launch import Launch, check_contiguous

NUM_PARTIALS = 128  # programs of the first launch, whatever the latent's size
# Sizes may be specialised: a multiple of 16, as every picture's is, makes loads 16 bytes wide;
# the only other variant serves all other sizes.
DEFAULT = Launch(1024, 4)  # a tile is a number of elements


def flow_step(
    x: Tensor,
    pos: Tensor,
    neg: Tensor | None,
    sigma: float,
    next_sigma: float,
    guidance: float,
    rescale: float,
    *,
    launch: Launch | None = None,
) -> Tensor:
    """The reference's operation on a GPU."""
    check_contiguous(x=x, pos=pos, neg=neg)
    launch = launch or DEFAULT
    y = torch.empty_like(x)
    partials = None
    if neg is not None and rescale > 0.0:
        partials = torch.empty((2, NUM_PARTIALS), dtype=torch.float32, device=x.device)
        _norms[(NUM_PARTIALS,)](
            pos,
            neg,
            partials,
            guidance,
            x.numel(),
            TILE=launch.tile,
            PARTIALS=NUM_PARTIALS,
            num_warps=launch.warps,
        )
    _step[(triton.cdiv(x.numel(), launch.tile),)](
        x,
        pos,
        neg,
        partials,
        y,
        next_sigma - sigma,
        guidance,
        rescale,
        x.numel(),
        TILE=launch.tile,
        PARTIALS=NUM_PARTIALS,
        num_warps=launch.warps,
    )
    return y


@triton.jit
def _guide(pos_ptr, neg_ptr, place, mask, guidance):
    pos = tl.load(pos_ptr + place, mask=mask, other=0.0).to(tl.float32)
    neg = tl.load(neg_ptr + place, mask=mask, other=0.0).to(tl.float32)
    return pos, pos + guidance * (pos - neg)


@triton.jit
def _norms(
    pos_ptr,
    neg_ptr,
    partials_ptr,
    guidance,
    num_elements,
    TILE: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    program = tl.program_id(0)
    pos_squares = tl.zeros((TILE,), tl.float32)
    guided_squares = tl.zeros((TILE,), tl.float32)
    for start in range(program * TILE, num_elements, PARTIALS * TILE):
        place = start + tl.arange(0, TILE)
        pos, guided = _guide(pos_ptr, neg_ptr, place, place < num_elements, guidance)
        pos_squares += pos * pos
        guided_squares += guided * guided
    tl.store(partials_ptr + program, tl.sum(pos_squares, 0))
    tl.store(partials_ptr + PARTIALS + program, tl.sum(guided_squares, 0))


@triton.jit
def _step(
    x_ptr,
    pos_ptr,
    neg_ptr,
    partials_ptr,
    y_ptr,
    delta,
    guidance,
    rescale,
    num_elements,
    TILE: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    place = tl.program_id(0) * TILE + tl.arange(0, TILE)
    mask = place < num_elements
    if neg_ptr is None:
        velocity = tl.load(pos_ptr + place, mask=mask, other=0.0).to(tl.float32)
    else:
        _, velocity = _guide(pos_ptr, neg_ptr, place, mask, guidance)
        if partials_ptr is not None:
            partial = tl.arange(0, PARTIALS)
            limit = rescale * tl.sqrt(tl.sum(tl.load(partials_ptr + partial), 0))
            norm = tl.sqrt(tl.sum(tl.load(partials_ptr + PARTIALS + partial), 0))
            # The smallest normal float keeps 0 / 0 from making a latent NaN.
            velocity *= tl.minimum(limit / tl.maximum(norm, 1.1754943508222875e-38), 1.0)
    x = tl.load(x_ptr + place, mask=mask, other=0.0)
    tl.store(y_ptr + place, x - delta * velocity, mask=mask)
