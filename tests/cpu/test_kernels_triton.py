"""Every Triton kernel compiled, and on odd little shapes in Triton's interpreter: no GPU needed.

Outputs are float32 (the interpreter's cast to bfloat16 truncates) and held to plain torch's own
float32 errors; bfloat16 outputs and real shapes are tests/gpu/test_kernels_gpu.py's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from triton_programs import needs_triton, printed

from mezzotint.kernels import harness
from mezzotint.kernels.launch import check_contiguous, check_rows

ROOT = Path(__file__).parents[2]
DTYPES = ("torch.float32", "torch.bfloat16")
SMALL = [case for case in harness.CASES if case.small and not case.library]


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, str], dict[str, Any]]:
    """What the interpreter found, by operation, case and dtype of the inputs."""
    found = printed("interpret_kernels.py")
    return {(row["op"], row["case"], row["dtype"]): row for row in found}


@needs_triton
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case.op}-{case.name}")
def test_kernel_in_the_interpreter(
    rows: dict[tuple[str, str, str], dict[str, Any]], case: harness.Case, dtype: str
) -> None:
    row = rows[case.op, case.name, dtype]
    assert row["passed"], row


@needs_triton
@pytest.mark.parametrize(("capability", "shared_kib"), [(89, 99), (90, 227), (120, 99)])
def test_every_kernel_compiles_for_a_gpu_and_fits(capability: int, shared_kib: int) -> None:
    """Ada, Hopper and consumers' Blackwell; what a program may take of shared memory there."""
    rows = printed("compile_kernels.py", str(capability))
    assert [row["error"] for row in rows if row["error"]] == []
    ours = [case for case in harness.CASES if not case.library]
    assert [(row["op"], row["case"]) for row in rows] == [(case.op, case.name) for case in ours]
    assert {row["op"] for row in rows if row["compiled"]} == {case.op for case in ours}
    assert max(row["shared"] for row in rows) <= shared_kib * 1024


@needs_triton
def test_before_fp8_only_fp8_does_not_compile() -> None:
    rows = printed("compile_kernels.py", "86")  # bfloat16, 99 KiB
    assert all("fp8e4nv not supported" in row["error"] for row in rows if row["error"])
    compiled = [row for row in rows if row["error"] is None]
    fp8_alone = {"attention_fp8", "linear", "quantize_rows"}  # linear: of FP8 weights
    assert {row["op"] for row in compiled} == {row["op"] for row in rows} - fp8_alone
    assert max(row["shared"] for row in compiled) <= 99 * 1024


def test_every_operation_has_a_small_case() -> None:
    assert {case.op for case in harness.CASES if case.small} == {case.op for case in harness.CASES}


def test_case_names_are_unique() -> None:
    names = [(case.op, case.name) for case in harness.CASES]
    assert len(set(names)) == len(names)


def test_importing_the_operations_imports_no_triton() -> None:
    code = (
        "import sys, mezzotint.kernels, mezzotint.kernels.harness\n"
        "sys.exit('triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_check_sees_wrong_nan_and_unwritten_outputs() -> None:
    cpu = torch.device("cpu")
    case = next(case for case in SMALL if (case.op, case.name) == ("swiglu", "odd"))
    right = harness.operation(case)

    def half_written(x: torch.Tensor) -> torch.Tensor:
        y = torch.empty(x.shape[0], x.shape[1] // 2, dtype=x.dtype)
        y[:20] = right(x[:20])
        return y

    def slightly_wrong(x: torch.Tensor) -> torch.Tensor:
        return right(x) * 1.01

    def one_nan(x: torch.Tensor) -> torch.Tensor:
        return right(x).index_fill_(0, torch.tensor([3]), torch.nan)

    assert harness.check(case, cpu).passed
    for wrong in (half_written, slightly_wrong, one_nan):
        assert not harness.check(case, cpu, run=wrong).passed, wrong


def test_inputs_that_a_kernel_would_misread_are_refused() -> None:
    x = torch.zeros(6, 4)
    check_rows(x=x[:, :2], table=None)
    check_contiguous(x=x[:3], table=None)
    with pytest.raises(ValueError, match="strides"):
        check_rows(x=x.mT)
    with pytest.raises(ValueError, match="shape"):
        check_rows(x=x[None])
    with pytest.raises(ValueError, match="contiguous"):
        check_contiguous(x=x[:, :2])
