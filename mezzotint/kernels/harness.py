"""One check and one timing for every operation: tests, bench and docs use the same two."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mezzotint import kernels
from mezzotint.kernels.add_bias.cases import CASES as ADD_BIAS
from mezzotint.kernels.attention.cases import CASES as ATTENTION
from mezzotint.kernels.attention_fp8.cases import CASES as ATTENTION_FP8
from mezzotint.kernels.case import Case
from mezzotint.kernels.conv_window.cases import CASES as CONV_WINDOW
from mezzotint.kernels.flow_step.cases import CASES as FLOW_STEP
from mezzotint.kernels.fp8 import Fp8Rows, Fp8Values, ScaledRows
from mezzotint.kernels.group_norm_silu.cases import CASES as GROUP_NORM_SILU
from mezzotint.kernels.layer_norm_modulate.cases import CASES as LAYER_NORM_MODULATE
from mezzotint.kernels.linear.cases import CASES as LINEAR
from mezzotint.kernels.product.cases import CASES as PRODUCT
from mezzotint.kernels.qk_norm_rope.cases import CASES as QK_NORM_ROPE
from mezzotint.kernels.quantize_rows.cases import CASES as QUANTIZE_ROWS
from mezzotint.kernels.residual_norm.cases import CASES as RESIDUAL_NORM
from mezzotint.kernels.rms_norm_modulate.cases import CASES as RMS_NORM_MODULATE
from mezzotint.kernels.softmax_rows.cases import CASES as SOFTMAX_ROWS
from mezzotint.kernels.swiglu.cases import CASES as SWIGLU
from mezzotint.kernels.to_pixels.cases import CASES as TO_PIXELS

CASES: tuple[Case, ...] = (
    *QUANTIZE_ROWS,
    *RMS_NORM_MODULATE,
    *LAYER_NORM_MODULATE,
    *RESIDUAL_NORM,
    *QK_NORM_ROPE,
    *SWIGLU,
    *SOFTMAX_ROWS,
    *FLOW_STEP,
    *GROUP_NORM_SILU,
    *CONV_WINDOW,
    *ADD_BIAS,
    *TO_PIXELS,
    *LINEAR,
    *PRODUCT,
    *ATTENTION,
    *ATTENTION_FP8,
)
MARGIN = 2.0  # an operation's error may be this many times that of plain torch operations

Operation = Callable[..., Any]  # tensors or FP8 rows, one or a tuple of them


@dataclass(frozen=True, slots=True)
class Check:
    """Relative errors of an operation's outputs against float64, beside those of plain torch."""

    errors: tuple[float, ...]
    plain_errors: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Every error is within the margin; NaN never is."""
        pairs = zip(self.errors, self.plain_errors, strict=True)
        return all(error <= MARGIN * plain for error, plain in pairs)


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the device reaches: a large copy (read + write) and a large bfloat16 product."""

    bytes_per_s: float
    flops_per_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """A median time and what it makes of the case's bytes and operations."""

    ms: float
    bytes_per_s: float
    flops_per_s: float
    limit_ms: float  # the larger of bytes and operations over their ceilings

    @property
    def fraction_of_limit(self) -> float:
        return self.limit_ms / self.ms


def operation(case: Case) -> Operation:
    """The operation as models call it."""
    run: Operation = getattr(kernels, case.op)
    return run


def check(
    case: Case,
    device: torch.device,
    dtype: torch.dtype = torch.bfloat16,
    *,
    seed: int = 0,
    run: Operation | None = None,
    plain_dtype: torch.dtype | None = None,
) -> Check:
    """Compare an operation (`run` in its place if given) with its formula in float64.

    Inputs are drawn in `dtype`; the formula's own error is taken in `plain_dtype`, `dtype` unless
    given. Outputs are poisoned with NaN before they are written.
    """
    inputs = case.inputs(torch.Generator(device).manual_seed(seed), dtype)
    with _poison(not case.library):
        outputs = (run or operation(case))(*inputs)
    plain_inputs = _numbers(inputs, dtype) if plain_dtype is None else _cast(inputs, plain_dtype)
    plain = _tuple(case.formula(*plain_inputs))
    truth = _tuple(case.formula(*_cast(inputs, torch.float64)))
    ours = _unpadded(outputs, truth)
    _check_shapes(case, ours, truth)
    return Check(
        tuple(_error(x, y) for x, y in zip(ours, truth, strict=True)),
        tuple(_error(x, y) for x, y in zip(plain, truth, strict=True)),
    )


def time(
    case: Case,
    device: torch.device,
    ceilings: Ceilings,
    *,
    run: Operation | None = None,
    repeats: int = 30,
) -> Timing:
    """Time an operation in bfloat16, out of a cold cache, without the host in the figure.

    Enough sets of inputs and outputs to exceed the L2 cache twice are run in turn inside one
    CUDA graph; the median replay is divided by their number.
    """
    generator = torch.Generator(device).manual_seed(0)
    l2_bytes = torch.cuda.get_device_properties(device).L2_cache_size
    num_sets = min(max(2, math.ceil(2 * l2_bytes / case.num_bytes)), 128)
    sets = [case.inputs(generator, torch.bfloat16) for _ in range(num_sets)]
    if run is case.formula:  # plain torch, which knows no FP8
        sets = [_numbers(inputs, torch.bfloat16) for inputs in sets]
    ms = _replay_ms(run or operation(case), sets, repeats) / num_sets
    return Timing(
        ms,
        case.num_bytes / ms * 1e3,
        case.num_flops / ms * 1e3,
        1e3 * max(case.num_bytes / ceilings.bytes_per_s, case.num_flops / ceilings.flops_per_s),
    )


def measure_ceilings(device: torch.device) -> Ceilings:
    """Negate 2 GiB into another 2 GiB, and multiply 8192 x 8192 random bfloat16 matrices."""
    source = torch.empty(2**30, dtype=torch.bfloat16, device=device).normal_()
    target = torch.empty_like(source)
    # A kernel: a plain copy in a graph goes to the copy engines, a third slower than any kernel.
    copy_ms = _replay_ms(lambda x: torch.neg(x, out=target), [(source,)], 10)
    a, b = (torch.empty(8192, 8192, dtype=torch.bfloat16, device=device) for _ in range(2))
    product_ms = _replay_ms(torch.mm, [(a.normal_(), b.normal_())] * 4, 10) / 4
    return Ceilings(2 * source.nbytes / copy_ms * 1e3, 2 * 8192**3 / product_ms * 1e3)


def graph_ms(graph: torch.cuda.CUDAGraph, repeats: int) -> float:
    """Median time of a replay, after three that do not count."""
    for _ in range(3):
        graph.replay()
    times: list[float] = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return float(statistics.median(times))


def _replay_ms(run: Operation, sets: list[tuple[Any, ...]], repeats: int) -> float:
    for inputs in sets[:2]:  # compiles, and makes what libraries make on their first call
        run(*inputs)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = [run(*inputs) for inputs in sets]  # kept: each set writes memory of its own
    ms = graph_ms(graph, repeats)
    del outputs
    return ms


@contextmanager
def _poison(wanted: bool) -> Iterator[None]:
    """Fill what torch.empty hands out with NaN, or with the largest integer."""
    before = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operations with no deterministic form
        torch.use_deterministic_algorithms(wanted or before, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def _cast(inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    numbers = _numbers(inputs, dtype)
    floats = (isinstance(x, Tensor) and x.is_floating_point() for x in numbers)
    return tuple(x.to(dtype) if cast else x for x, cast in zip(numbers, floats, strict=True))


def _numbers(inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    """FP8 rows, matrices and waiting scales as the numbers they stand for."""
    return tuple(
        x.dequantize(dtype) if isinstance(x, Fp8Values | ScaledRows) else x for x in inputs
    )


def _tuple(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _unpadded(outputs: Any, truth: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What an operation wrote, as plain tensors; FP8 rows without the columns that pad them."""
    numbers = _numbers(_tuple(outputs), torch.float32)
    return tuple(
        x[:, : y.shape[1]] if isinstance(wrote, Fp8Rows) else x
        for wrote, x, y in zip(_tuple(outputs), numbers, truth, strict=True)
    )


def _check_shapes(case: Case, ours: tuple[Tensor, ...], truth: tuple[Tensor, ...]) -> None:
    for x, y in zip(ours, truth, strict=True):
        if x.shape != y.shape:
            raise ValueError(
                f"{case.op} {case.name}: the output's shape is {tuple(x.shape)}, "
                f"its formula's {tuple(y.shape)}: correct one of them"
            )


def _error(x: Tensor, truth: Tensor) -> float:
    wide = truth.double()
    error: float = ((x.double() - wide).norm() / wide.norm()).item()
    return error
