"""An engine beside a GPU takes one core for its own small copies, and leaves others theirs."""

from __future__ import annotations

import threading

import pytest
import torch

from mezzotint.engine.host_threads import limit_host_threads


@pytest.fixture
def three_threads() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("limit", "inside"), [(1, 1), (None, 3)])
def test_the_limit_is_the_threads_own(
    three_threads: object, limit: int | None, inside: int
) -> None:
    seen: list[int] = []
    elsewhere: list[int] = []

    def limited() -> None:
        with limit_host_threads(limit):
            torch.ones(10**6).clone()  # parallel: torch has settled this thread's number
            seen.append(torch.get_num_threads())
            other = threading.Thread(target=lambda: elsewhere.append(torch.get_num_threads()))
            other.start()
            other.join()
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert seen == [inside, 3]
    assert elsewhere == [3]
    assert torch.get_num_threads() == 3
