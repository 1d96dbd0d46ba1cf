"""Compile every Triton kernel for a Hopper GPU, as its cases launch it; no GPU needed.

Prints a JSON row a case: what was compiled, down to Triton's IR for that GPU, and what went wrong.
Triton's interpreter takes Python that its compiler refuses. Sizes are the real ones, of tensors
without memory. A program of its own, since a driver is put in place of the GPU's.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from importlib import import_module
from typing import Any

import torch
import triton
from torch.overrides import TorchFunctionMode
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.compiler import make_backend
from triton.runtime.jit import JITFunction

from bench.kernels import FOLDERS
from mezzotint.kernels import harness
from mezzotint.kernels.case import Case

HOPPER = GPUTarget("cuda", 90, 32)


class Driver:
    """What triton asks about the device, answered for one that is not here."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return HOPPER


class WithoutMemory(TorchFunctionMode):
    """Makes meta tensors, which no generator can fill."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "generator"}
        return func(*args, **kwargs | ({"device": "meta"} if "device" in kwargs else {}))


compiled: Counter[str] = Counter()  # by kernel


def compile_to_gpu_ir(src: Any, target: GPUTarget, options: dict[str, Any]) -> Any:
    """Triton's compile up to its IR for one kind of GPU; machine code would take minutes."""
    backend = make_backend(target)
    parsed = backend.parse_options(dict(options))
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions = backend.get_codegen_implementation(parsed)
    module = src.make_ir(target, parsed, functions, backend.get_module_map(), context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, parsed, src.language)
    for name in ("ttir", "ttgir"):
        module = stages[name](module, dict(parsed.__dict__))
    compiled[src.name] += 1
    return module


def main() -> None:
    triton.runtime.driver.set_active(Driver())
    triton.compiler.compile = compile_to_gpu_ir
    launch = JITFunction.run
    JITFunction.run = lambda self, *args, warmup, **kwargs: launch(
        self, *args, warmup=True, **kwargs
    )
    for case in harness.CASES:
        if case.library:
            continue
        before = compiled.total()
        row = {"op": case.op, "case": case.name, "error": _error(case)}
        json.dump(row | {"compiled": compiled.total() - before}, sys.stdout)
        print(flush=True)


def _error(case: Case) -> str | None:
    module = import_module(f"mezzotint.kernels.{FOLDERS.get(case.op, case.op)}.triton")
    try:
        with WithoutMemory():
            inputs = case.inputs(torch.Generator("cpu"), torch.bfloat16)
        getattr(module, case.op)(*inputs)
    except Exception:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main()
