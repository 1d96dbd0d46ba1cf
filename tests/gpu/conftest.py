"""Each test begins with what the one before left given back."""

from __future__ import annotations

import gc

import pytest
import torch


@pytest.fixture(autouse=True)
def _memory_is_given_back() -> None:
    if torch.cuda.is_available():
        gc.collect()  # engines that a kept error's frames held
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1.0)  # an engine with a budget lowers it
