"""Captions are kept in memory allocated once, and the least recently used leave it."""

from __future__ import annotations

import torch
from torch import Tensor

from mezzotint.models.zimage.captions import CaptionCache

CPU = torch.device("cpu")
WIDTH = 8
PAGE = 32 * WIDTH * 4  # bytes


def caption(number: int, pages: int = 1) -> Tensor:
    return torch.full((32 * pages, WIDTH), float(number)) + torch.arange(32.0 * pages)[:, None]


def read(cache: CaptionCache, number: int, pages: int = 1) -> Tensor:
    out = torch.zeros(96, WIDTH)
    cache.read((number,), out)
    return out[: 32 * pages]


def test_what_was_written_is_read() -> None:
    cache = CaptionCache(8 * PAGE, WIDTH, torch.float32, CPU)
    for number in range(3):
        cache.write((number,), caption(number, number + 1))
    for number in range(3):
        assert torch.equal(read(cache, number, number + 1), caption(number, number + 1))
    assert (3,) not in cache


def test_the_least_recently_used_leave() -> None:
    cache = CaptionCache(3 * PAGE + 5, WIDTH, torch.float32, CPU)
    for number in range(3):
        cache.write((number,), caption(number))
    read(cache, 0)
    cache.write((3,), caption(3, 2))
    assert [(number,) in cache for number in range(4)] == [True, False, False, True]
    assert torch.equal(read(cache, 3, 2), caption(3, 2))
    assert torch.equal(read(cache, 0), caption(0))


def test_a_caption_larger_than_the_cache_is_not_kept() -> None:
    cache = CaptionCache(PAGE, WIDTH, torch.float32, CPU)
    cache.write((1,), caption(1))
    cache.write((2,), caption(2, 2))
    assert (1,) in cache
    assert (2,) not in cache
    nothing = CaptionCache(0, WIDTH, torch.float32, CPU)
    nothing.write((1,), caption(1))
    assert (1,) not in nothing


def test_many_captions_take_no_more_memory() -> None:
    cache = CaptionCache(4 * PAGE, WIDTH, torch.float32, CPU)
    for number in range(100):
        cache.write((number,), caption(number, 1 + number % 3))
        assert torch.equal(read(cache, number, 1 + number % 3), caption(number, 1 + number % 3))
    held = [page for pages in cache._entries.values() for page in pages]
    assert sorted([*cache._free, *held]) == list(range(4))
