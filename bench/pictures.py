"""Time whole pictures, prompt in to PNG bytes out, and the engine's inside, beside its rivals.

`python -m bench.pictures --out rows.jsonl --systems mezzotint,diffusers-compiled,diffsynth
--workloads 1024px-8,512px-8`. Weights are random at the real size and the same for all: the
arithmetic, and so the time and the memory, are those of Z-Image-Turbo. A system that fails at
something leaves a row that says so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.environment import environment, need_gpu
from bench.probes.busy import noting_busy
from bench.probes.forward import measure_forward
from bench.probes.new_size import SIZES, measure_new_size
from bench.probes.recording import Recording, recording
from bench.probes.steady import measure_steady
from bench.rivals.calls import by_rival
from bench.rivals.rival import Draw, Rival
from bench.rivals.weights import SharedWeights, Sizes
from bench.rows import Row, append
from bench.systems import ENGINES, NAMES, RIVALS
from bench.workload import SINGLE, WORKLOADS
from mezzotint import Engine
from mezzotint.engine.unheld import give_back
from mezzotint.images.fidelity import psnr_db
from mezzotint.measure.fidelity import compare
from mezzotint.measure.gpu import let_go
from mezzotint.measure.limit import product_flops_per_s
from mezzotint.measure.prompts import fidelity_prompts
from mezzotint.measure.timing import measure
from mezzotint.measure.workload import Workload, new_prompts, prompt, request_of
from mezzotint.models.find import describe_random_weights
from mezzotint.models.recipe import resolve

MODEL = "z-image-turbo"
FORWARD, STEADY = "forward-1024px", "steady-1024px"
FIDELITY = "fidelity-64"  # of the bundled model, against the next more exact precision
FIDELITY_PROMPTS = 64
PROBES = (FORWARD, *SIZES, STEADY, FIDELITY)  # of the engine alone
SEEN_PRECISION = "bf16"  # of the engine's pictures that rivals' are compared with
Pictures = dict[str, np.ndarray]  # by workload: of the same prompt and seed
ALL = (*(w.name for w in WORKLOADS), *PROBES)


@dataclass(frozen=True)
class Setup:
    """What is measured on: the real thing on a GPU, something small in tests."""

    device: torch.device
    dtype: torch.dtype
    sizes: Sizes
    workloads: tuple[Workload, ...]
    new_size_steps: int = 8


REAL = partial(Setup, dtype=torch.bfloat16, sizes=Sizes(), workloads=WORKLOADS)


def main() -> int:
    options = _options()
    need_gpu()
    setup = REAL(device=torch.device("cuda", 0))
    about = environment("bench.pictures", options.commit)
    limits = _limits(setup.device)
    shown = " ".join(f"{name} {value / 1e12:.0f} TFLOP/s" for name, value in limits.items())
    print(f"{about['gpu']}, torch {about['torch']}, products: {shown}", flush=True)
    rows: list[Row] = []
    seen: Pictures = {}
    for name in options.systems:
        for row in system_rows(name, options.workloads, setup, seen, options.slots):
            rows.append(finish(about | row, limits, setup))
            append(options.out, rows[-1])
            print(line(rows[-1]), flush=True)
        let_go()
    print("\n" + "\n".join(map(line, rows)))
    return 0


def system_rows(
    name: str, wanted: Sequence[str], setup: Setup, seen: Pictures, slots: int | None = None
) -> Iterator[Row]:
    """One row a workload of one system; whatever it cannot do is a row with an error.

    `seen` takes the engine's bf16 pictures, with which rivals' are compared afterwards.
    """
    if name in ENGINES:
        options = ENGINES[name] | ({} if slots is None else {"slots": slots})
        yield from _engine_rows(name, options, wanted, setup, seen)
    else:
        yield from _rival_rows(RIVALS[name], wanted, setup, seen)


def finish(row: Row, limits: dict[str, float], setup: Setup) -> Row:
    """Add what the work amounts to and its share of what this device's own product reaches."""
    workload = next((w for w in setup.workloads if w.name == row["workload"]), None)
    row |= {f"ceiling_{name}_flops_per_s": value for name, value in limits.items()}
    if workload is None or "error" in row:
        return row
    tflop = work_tflop(workload)
    limit = limits.get("fp8" if row["precision"] == "fp8" else "bf16")
    fraction = None if limit is None else tflop * 1e15 / limit / row["ms"]
    return row | {"tflop": tflop, "fraction_of_limit": fraction}


def work_tflop(workload: Workload) -> float:
    """Of all denoise steps of all its pictures."""
    spec = describe_random_weights(MODEL)
    recipe = resolve(request_of("a", workload), spec)
    return spec.cost(recipe) * workload.steps * workload.at_once


def line(row: Row) -> str:
    """A row for reading."""
    text = f"{row['system']:20}{row['precision']:6}{row['workload']:22}"
    if "error" in row:
        return text + f"FAILED: {row['error']}"
    if row.get("ms") is not None:
        text += f"{row['ms']:10.1f} ms"
    if row.get("to_picture_ms") is not None:
        text += f" ({row['to_picture_ms']:.1f})"
    for key, form in (
        ("images_per_s", "{:.2f} img/s"), ("batch", "batch {}"), ("ratio", "{:.2f} x warm"),
        ("straight_ms", "{:.1f} straight on"), ("fraction_of_limit", "{:.0%} of limit"),
        ("utilisation", "GPU {:.0%}"), ("engine_busy", "busy {:.0%}"),
        ("idle_fraction", "idle {:.2%}"),
        ("device_allocations_per_step", "{:.2f} mallocs"), ("syncs_per_step", "{:.2f} syncs"),
        ("warned_syncs_per_step", "{:.2f} warned"), ("same_picture_db", "{:.1f} dB to ours"),
        ("median_psnr_db", "{:.1f} dB"), ("worst_psnr_db", "worst {:.1f}"),
        ("median_ssim", "SSIM {:.4f}"), ("worst_ssim", "worst {:.4f}"),
    ):  # fmt: skip
        if row.get(key) is not None:
            text += "  " + form.format(row[key])
    if row.get("peak_bytes"):
        text += f"  {row['peak_bytes'] / 2**30:.2f} GiB"
    stages = " ".join(f"{k} {v:.1f}" for k, v in row.get("stage_ms", {}).items())
    return text + (f"  [{stages}]" if stages else "")


def names_of(known: Sequence[str], text: str) -> list[str]:
    """Names between commas, for argparse."""
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is unknown; known: {', '.join(known)}")
    return names


def sentence(error: BaseException) -> str:
    """What a row says of a failure."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300] if text else 'no message'}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pictures", description=__doc__)
    parser.add_argument(
        "--systems", type=partial(names_of, NAMES), default=list(NAMES), help=", ".join(NAMES)
    )
    parser.add_argument(
        "--workloads",
        type=partial(names_of, ALL),
        default=[*(w.name for w in SINGLE), *PROBES],
        help=", ".join(ALL),
    )
    parser.add_argument("--slots", type=int, help="the engine's; default as in its configuration")
    parser.add_argument("--commit", help="of the measured tree, for a copy without history")
    parser.add_argument("--out", type=Path, help="append JSON rows to this file")
    return parser.parse_args()


def _limits(device: torch.device) -> dict[str, float]:
    found = {name: product_flops_per_s(device, name) for name in ("bf16", "fp8")}
    let_go()
    return {name: value for name, value in found.items() if value is not None}


def _engine_rows(
    name: str, options: dict[str, Any], wanted: Sequence[str], setup: Setup, seen: Pictures
) -> Iterator[Row]:
    about: Row = {"system": name, "precision": options["precision"], "options": options}
    try:
        with (
            recording() as recorded,
            Engine(random_weights=MODEL, device=setup.device.type, **options) as engine,
        ):
            about["slots"] = engine.config.slots
            yield from _each(about, _engine_jobs(engine, recorded, wanted, setup, seen))
        if FIDELITY in wanted:
            job = partial(_fidelity, options, setup)
            yield from _each(about, iter([(FIDELITY, job)]))
    except Exception as error:  # it did not even open: whatever it lacks, the others go on
        for one in wanted:
            yield about | {"workload": one, "error": sentence(error)}


def _engine_jobs(
    engine: Engine,
    recorded: dict[str, Recording],
    wanted: Sequence[str],
    setup: Setup,
    seen: Pictures,
) -> Iterator[tuple[str, Callable[[], Row]]]:
    prompts = new_prompts()
    largest = setup.workloads[0]
    for name in wanted:
        match name:
            case "fidelity-64":
                pass  # with engines of its own, when this one has closed
            case "forward-1024px":
                yield name, partial(_forward, engine, recorded, largest, prompts)
            case "steady-1024px":
                yield name, partial(measure_steady, engine, largest, prompts)
            case _ if name in SIZES:
                yield name, partial(measure_new_size, engine, name, prompts, setup.new_size_steps)
            case _:
                workload = next(w for w in setup.workloads if w.name == name)
                yield name, partial(_whole_by_engine, engine, workload, prompts, seen)


def _whole_by_engine(
    engine: Engine, workload: Workload, prompts: Iterator[str], seen: Pictures
) -> Row:
    busy: list[float] = []
    timing = measure(noting_busy(engine, busy), workload, prompts)
    row = timing.row() | {
        "stage_ms": engine.observe().pictures[-1].stages,
        "engine_busy": statistics.median(busy[-workload.repeats :]),
        "batch": None,
    }
    one = workload.at_once == 1 and not workload.guidance  # a guided one takes too long again
    if one and engine.provenance.precision == SEEN_PRECISION:
        image = engine.submit(request_of(prompt(0), workload)).result()
        seen.setdefault(workload.name, image.pixels)
    return row


def _fidelity(options: dict[str, Any], setup: Setup) -> Row:
    right = {"bf16": "fp32", "fp8": "bf16"}[options["precision"]]
    place = {"device": setup.device.type}
    exact = place | {"precision": right}
    prompts = fidelity_prompts(FIDELITY_PROMPTS)
    return {"against": right} | compare(exact, place | options, prompts, {}).row()


def _forward(
    engine: Engine, recorded: dict[str, Recording], workload: Workload, prompts: Iterator[str]
) -> Row:
    engine.submit(request_of(next(prompts), workload)).result()
    call = recorded["denoise"].last
    if call is None:
        raise RuntimeError("the denoise stage launched nothing through its Replay")
    return measure_forward(call)


def _rival_rows(rival: Rival, wanted: Sequence[str], setup: Setup, seen: Pictures) -> Iterator[Row]:
    about: Row = {
        "system": rival.name,
        "precision": "bf16",
        "setting": rival.setting,
        "approximate": rival.approximate,
    }
    workloads = [w for w in setup.workloads if w.name in wanted]
    try:
        about["versions"] = rival.versions()
        if setup.device.type == "cuda":  # an engine may have held this process to its own budget
            torch.cuda.set_per_process_memory_fraction(1.0, setup.device)
        draw = rival.build(SharedWeights.make(setup.sizes, setup.device, setup.dtype))
    except Exception as error:
        for workload in workloads:
            yield about | {"workload": workload.name, "error": sentence(error)}
        return
    prompts = new_prompts()
    jobs = (
        (w.name, partial(_whole_by_rival, draw, w, batch, prompts, seen))
        for w in workloads
        for batch in rival.batches_of(w.at_once)
    )
    yield from _each(about, jobs)


def _whole_by_rival(
    draw: Draw, workload: Workload, batch: int, prompts: Iterator[str], seen: Pictures
) -> Row:
    row = measure(by_rival(draw, batch), workload, prompts).row() | {"batch": batch}
    if workload.name in seen:
        picture = np.asarray(draw([prompt(0)], workload)[0])
        row["same_picture_db"] = psnr_db(seen[workload.name], picture)
    return row


def _each(about: Row, jobs: Iterator[tuple[str, Callable[[], Row]]]) -> Iterator[Row]:
    for name, job in jobs:
        try:
            row = job()
        except Exception as error:  # the others are still worth measuring
            row = {"error": sentence(error)}
        yield about | {"workload": name} | row
        give_back()


if __name__ == "__main__":
    sys.exit(main())
