"""Compile every Triton kernel for one kind of GPU, as its cases launch it; no GPU needed.

`python compile_kernels.py 90` (compute capability 9.0) prints a JSON row a case: how many kernels
were compiled, down to LLVM's IR, the most shared memory that one takes, and what went wrong.
Triton's interpreter takes Python that its compiler refuses. Sizes are the real ones, of tensors
without memory. A program of its own, since a driver is put in place of the GPU's.
"""

from __future__ import annotations

import json
import sys
import traceback
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


class Driver:
    """What triton asks about the device, answered for one that is not here."""

    def __init__(self, capability: int) -> None:
        self._target = GPUTarget("cuda", capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return self._target


class WithoutMemory(TorchFunctionMode):
    """Makes meta tensors, which no generator can fill."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "generator"}
        return func(*args, **kwargs | ({"device": "meta"} if "device" in kwargs else {}))


shared: list[int] = []  # bytes, of each kernel that was compiled


def compile_to_llvm_ir(src: Any, target: GPUTarget, options: dict[str, Any]) -> Any:
    """Triton's compile up to where shared memory is laid out; machine code would take minutes."""
    backend = make_backend(target)
    parsed = backend.parse_options(dict(options))
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    functions = backend.get_codegen_implementation(parsed)
    module = src.make_ir(target, parsed, functions, backend.get_module_map(), context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, parsed, src.language)
    metadata = {"target": target, **parsed.__dict__}
    for name in ("ttir", "ttgir", "llir"):
        module = stages[name](module, metadata)
    shared.append(metadata["shared"])
    return module


def main() -> None:
    triton.runtime.driver.set_active(Driver(int(sys.argv[1])))
    triton.compiler.compile = compile_to_llvm_ir
    launch = JITFunction.run
    JITFunction.run = lambda self, *args, warmup, **kwargs: launch(
        self, *args, warmup=True, **kwargs
    )
    for case in harness.CASES:
        if case.library:
            continue
        shared.clear()
        row = {"op": case.op, "case": case.name, "error": _error(case)}
        json.dump(row | {"compiled": len(shared), "shared": max(shared, default=0)}, sys.stdout)
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
