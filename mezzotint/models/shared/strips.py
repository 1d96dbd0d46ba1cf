"""The decoder's last level in strips of rows: the same arithmetic in half of the memory.

Whole, a bfloat16 picture of 1024 x 1024 pixels has up to 1.25 GiB of this level at once. In strips
it is one arena of 0.5 GiB and a window of rows. A group norm must see every row before it writes
any, so its map is found over the whole picture first; a convolution then reads a window: its
strip and one row more at both sides. Shapes in comments: H and W pixels, C channels, A of an arena.

An arena [H, W, A] holds a level: what a resnet is given and gives in its first channels, what lies
between its two convolutions behind them. So a resnet that halves the width works in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from mezzotint.kernels import add_bias, conv_window, group_norm_affine
from mezzotint.models.shared.convolution import bias_of

if TYPE_CHECKING:
    from mezzotint.models.shared.autoencoder_kl import Resnet

LEAST_ROWS = 2  # two windows in turn share two rows, which must not overlap in memory


def make_arena(x: Tensor, width: int) -> Tensor:
    """An arena for twice the size of x [1, C, H/2, W/2], with x at its end. -> [H, W, width]."""
    _, channels, rows, columns = x.shape
    arena = x.new_empty(2 * rows, 2 * columns, width)
    _small_at_end(arena, channels).copy_(x[0].movedim(0, -1))
    return arena


def upsample(arena: Tensor, conv: nn.Conv2d, rows: int) -> None:
    """Twice the size: from the picture at the arena's end into its first C channels.

    A quarter of the output's size, the input lies where the output's last quarter comes. A strip's
    window is copied from it before the strip is written, so it is overwritten behind what was
    read: the output's row r ends at (r + 1) / H of the arena, and the input's row r / 2 - 1, the
    first that the next strip reads, begins at 3/4 + (r / 2 - 1) / 2 H or later.
    """
    height, width, _ = arena.shape
    channels = conv.in_channels
    small = _small_at_end(arena, channels)
    window = arena.new_empty(rows + 2, width, channels)
    for start, stop in _strips(height, rows):
        view = conv_window(small, window[: stop - start + 2], start - 1, scale=2)
        add_bias(_convolve(view, conv), bias_of(conv), arena[start:stop, :, :channels])


def apply_resnet(arena: Tensor, resnet: Resnet, rows: int) -> None:
    """Replace an arena's first channels by what the resnet makes of them."""
    in_width, out_width = resnet.norm1.num_channels, resnet.norm2.num_channels
    x, y, h = arena[..., :in_width], arena[..., :out_width], arena[..., out_width : 2 * out_width]
    in_place = resnet.conv_shortcut is not None
    for start, stop, window in _windows(x, resnet.norm1, rows, in_place):
        hidden = _convolve(window, resnet.conv1)
        if resnet.conv_shortcut is not None:  # read before its rows are written, by it and by h
            shortcut = _convolve(x[start:stop], resnet.conv_shortcut)
            add_bias(shortcut, bias_of(resnet.conv_shortcut), y[start:stop])
        add_bias(hidden, bias_of(resnet.conv1), h[start:stop])
    for start, stop, window in _windows(h, resnet.norm2, rows):
        place = y[start:stop]
        add_bias(_convolve(window, resnet.conv2), bias_of(resnet.conv2), place, residual=place)


def to_picture(arena: Tensor, norm: nn.GroupNorm, conv: nn.Conv2d, rows: int) -> Tensor:
    """The last norm and convolution. arena [H, W, A] -> [1, C', H, W], channels last."""
    picture = arena.new_empty(*arena.shape[:2], conv.out_channels)
    for start, stop, window in _windows(arena[..., : norm.num_channels], norm, rows):
        add_bias(_convolve(window, conv), bias_of(conv), picture[start:stop])
    return picture.movedim(-1, 0)[None]


def _small_at_end(arena: Tensor, channels: int) -> Tensor:
    """Where a picture of half the arena's sides lies in it. -> [H/2, W/2, C], dense."""
    height, width, _ = arena.shape
    shape = (height // 2, width // 2, channels)
    return arena.view(-1)[-math.prod(shape) :].view(shape)


def _strips(height: int, rows: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + rows, height)) for start in range(0, height, rows))


def _windows(
    x: Tensor, norm: nn.GroupNorm, rows: int, in_place: bool = False
) -> Iterator[tuple[int, int, Tensor]]:
    """For each strip its first row, its end, and its window [rows + 2, W, C], normalised.

    Whoever works in place has overwritten in x the two rows that a window shares with the one
    before: they are kept from that.
    """
    affine = group_norm_affine(_nchw(x), norm.weight, norm.bias, norm.num_groups, norm.eps)[0]
    window = x.new_empty(rows + 2, *x.shape[1:])
    for start, stop in _strips(len(x), rows):
        view = window[: stop - start + 2]
        if start == 0 or not in_place:
            conv_window(x, view, start - 1, affine)
        else:
            window[:2].copy_(window[-2:])
            conv_window(x, view[2:], start + 1, affine)
        yield start, stop, view


def _convolve(window: Tensor, conv: nn.Conv2d) -> Tensor:
    """A convolution without its bias, and without padding of rows. [R, W, C] -> [R', W, C']."""
    padding = (0, conv.kernel_size[1] // 2)
    y = functional.conv2d(_nchw(window), conv.weight, None, padding=padding)
    return y[0].movedim(0, -1)


def _nchw(x: Tensor) -> Tensor:
    return x.movedim(-1, 0)[None]
