"""Who is measured: the engine in each of its precisions, and the rivals."""

from __future__ import annotations

from typing import Any

from bench.rivals.cache_dit import CACHE_DIT
from bench.rivals.diffsynth import DIFFSYNTH
from bench.rivals.diffusers import COMPILED, EAGER
from bench.rivals.rival import Rival

ENGINES: dict[str, dict[str, Any]] = {  # name -> the engine's options
    "mezzotint": {"precision": "bf16"},
    "mezzotint-no-graphs": {"precision": "bf16", "graphs": False},
    "mezzotint-fp8": {"precision": "fp8"},
    "mezzotint-fp8-attention": {"precision": "fp8", "attention": "fp8"},
}
RIVALS: dict[str, Rival] = {rival.name: rival for rival in (EAGER, COMPILED, DIFFSYNTH, CACHE_DIT)}
NAMES = (*ENGINES, *RIVALS)
