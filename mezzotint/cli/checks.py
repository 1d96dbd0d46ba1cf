"""What the doctor looks at: each check finds a fact, judges it and knows the remedy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mezzotint.types import MezzotintError, ModelError

Status = Literal["pass", "fail", "note"]

_MIN_PYTHON = (3, 11)
_MIN_TORCH = (2, 11)
_MIN_FREE_BYTES = 100 * 2**20
_BF16_CAPABILITY = (8, 0)
_FP8_CAPABILITY = (8, 9)
_HEX_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's: `fix` says what to do about a fail, or may be done on a note."""

    name: str
    status: Status
    found: str
    fix: str = ""


def run_checks() -> Iterator[Check]:
    """Look at everything `mezzotint` needs, one after the other; no check stops the others."""
    yield _python()
    torch = _torch()
    yield torch
    yield _isal()
    yield _config()
    yield _output()
    if torch.status != "fail":
        yield _threads()
        yield from _gpus()
        yield _memory()
        yield _bundled()
        yield _picture()
        yield _configured_model()
        yield _pulled()


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _MIN_PYTHON:
        return Check("python", "fail", version, "install Python 3.11 or newer")
    return Check("python", "pass", version)


def _torch() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return Check("torch", "fail", f"cannot be imported ({error})", "pip install 'torch>=2.11'")
    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    found = f"{torch.__version__}, {build}"
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if release < _MIN_TORCH:
        return Check("torch", "fail", found, "pip install 'torch>=2.11'")
    return Check("torch", "pass", found)


def _isal() -> Check:
    if importlib.util.find_spec("isal") is None:
        return Check("isal", "fail", "not installed, so no PNG can be written", "pip install isal")
    return Check("isal", "pass", importlib.metadata.version("isal"))


def _config() -> Check:
    from mezzotint.config import load

    try:
        loaded = load({})
    except MezzotintError as error:
        return Check("settings", "fail", str(error), "correct it, or remove it for the default")
    changed = [name for name, source in loaded.sources.items() if source != "default"]
    file = str(loaded.file) if loaded.file else "no file"
    return Check(
        "settings",
        "pass",
        f"{file}; {', '.join(changed) or 'all'} {'set' if changed else 'at their defaults'}",
    )


def _output() -> Check:
    folder = Path(str(_setting("output") or "outputs")).expanduser()
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free
    except OSError as error:
        found = f"{folder} cannot be written to ({error.strerror})"
        return Check("output", "fail", found, "choose a folder with --out or MEZZOTINT_OUTPUT")
    found = f"{folder}: {free / 1e9:.1f} GB free"
    if free < _MIN_FREE_BYTES:
        return Check("output", "fail", found, "free some space or choose another folder")
    return Check("output", "pass", found)


def _threads() -> Check:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    used = _setting("threads") or torch.get_num_threads()
    found = f"{used} for {usable} usable cores"
    if int(str(used)) > (usable or 1):
        return Check("threads", "note", found, "more threads than cores are slower; see --threads")
    return Check("threads", "pass", found)


def _gpus() -> Iterator[Check]:
    import torch

    from mezzotint.engine.missing_gpu import driver_version

    if not torch.cuda.is_available():
        yield _no_gpu()
        return
    driver = driver_version()
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        free, total = torch.cuda.mem_get_info(index)
        found = (
            f"{torch.cuda.get_device_name(index)}, driver {driver or 'unknown'}, "
            f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free, capability {major}.{minor} "
            f"({_can('bf16', (major, minor) >= _BF16_CAPABILITY)}, "
            f"{_can('fp8', (major, minor) >= _FP8_CAPABILITY)})"
        )
        has_bf16 = (major, minor) >= _BF16_CAPABILITY
        fix = "" if has_bf16 else "use --precision fp32, or a GPU of capability 8.0 or newer"
        yield Check(f"gpu {index}", "pass" if has_bf16 else "note", found, fix)
    yield _attention(torch.cuda.get_device_capability()[0])
    yield _compiler()


def _attention(capability: int) -> Check:
    from mezzotint.kernels.attention import backend
    from mezzotint.kernels.attention.cuda import BACKENDS, DEFAULT

    first, *others = BACKENDS.get(capability, DEFAULT)
    if first == "fa4" and not backend.has_fa4():
        found = f"{others[0]}, as flash-attn-4, which is faster here, is not installed"
        return Check("attention", "note", found, "pip install 'mezzotint[fa4]'")
    return Check("attention", "pass", first)


def _compiler() -> Check:
    """What Triton builds its launcher with, once on a machine, at the first kernel."""
    found = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    fix = "install gcc and Python's headers (Debian, Ubuntu: apt install gcc python3-dev)"
    if found is None:
        return Check("compiler", "fail", "no C compiler, which Triton needs for its launcher", fix)
    if not header.is_file():
        return Check("compiler", "fail", f"{found}, but {header} is missing", fix)
    return Check("compiler", "pass", found)


def _no_gpu() -> Check:
    from mezzotint.engine.missing_gpu import read_facts, why_no_gpu

    facts = read_facts()
    why = why_no_gpu(facts)
    wanted = _setting("device") == "cuda"
    # A machine without a GPU is well; one whose GPU cannot be used is not.
    if facts.num_devices == 0 and not wanted:
        return Check("gpu", "note", f"none, as {why.found}; pictures are made on the CPU")
    return Check("gpu", "fail", f"none, as {why.found}", why.fix)


def _can(name: str, able: bool) -> str:
    return name if able else f"no {name}"


def _memory() -> Check:
    from mezzotint.config import load
    from mezzotint.engine.build import plan_memory
    from mezzotint.engine.device import choose_device
    from mezzotint.engine.plan import gib

    try:
        config = load({}).config
    except MezzotintError:  # which is a check of its own
        return Check("memory", "note", "not planned, as the settings cannot be read")
    try:
        place = choose_device(config)
        plan = plan_memory(config, place)
    except ModelError:  # so is this
        return Check("memory", "note", "not planned, as the model cannot be read")
    except MezzotintError as error:
        found, _, fix = str(error).partition("; ")
        return Check("memory", "fail", found, fix)
    side = math.isqrt(plan.slot_shapes.pixels)
    found = (
        f"{gib(plan.budget.num_bytes)} for {place.precision} on {place.name}: weights "
        f"{gib(plan.weights)}, {plan.slots} slots, pictures to {side}x{side}"
    )
    if plan.graphs:
        found += f", graphs {gib(plan.graphs)}"
    return Check("memory", "pass", found)


def _bundled() -> Check:
    from mezzotint.models.find import describe
    from mezzotint.models.locate import BUNDLED

    fix = "install mezzotint again"
    try:
        spec = describe(BUNDLED)
    except (MezzotintError, OSError) as error:
        return Check("bundled", "fail", str(error), fix)
    return Check("bundled", "pass", f"{spec.name}, sizes to {spec.limits.max_side} px")


def _picture() -> Check:
    from mezzotint.engine.engine import Engine

    start = time.monotonic()
    try:
        with Engine() as engine:
            ready = time.monotonic()
            image = engine.generate("a red apple", steps=1, seed=0)[0]
            end = time.monotonic()
    except (MezzotintError, RuntimeError) as error:  # RuntimeError: what torch raises
        return Check("picture", "fail", str(error).splitlines()[0], "report this with its output")
    height, width, _ = image.pixels.shape
    weights = image.provenance.weights[:_HEX_SHOWN]
    return Check(
        "picture",
        "pass",
        f"one step at {width}x{height} in {(end - ready) * 1e3:.0f} ms on {image.provenance.device}"
        f" (load {ready - start:.1f} s, weights {weights})",
    )


def _configured_model() -> Check:
    from mezzotint.models.find import describe
    from mezzotint.models.locate import locate

    model, variant = _setting("model"), _setting("variant")
    if model is None:
        return Check("model", "note", "the bundled one, as no other is set")
    try:
        spec = describe(locate(str(model)), str(variant) if variant else None)
    except MezzotintError as error:
        return Check("model", "fail", str(error), "correct the setting `model`")
    return Check("model", "pass", f"{model}: {spec.name}")


def _pulled() -> Check:
    from mezzotint.models.hub import default_folder, local_path

    folder = default_folder("organisation/name").parent
    ids = [p.name.replace("--", "/", 1) for p in sorted(folder.glob("*--*")) if p.is_dir()]
    if not ids:
        return Check("pulled", "note", "no model", "mezzotint pull Tongyi-MAI/Z-Image-Turbo")
    try:
        partial = [model_id for model_id in ids if local_path(model_id) is None]
    except MezzotintError as error:
        return Check("pulled", "fail", str(error), "delete that folder and pull again")
    if partial:
        return Check("pulled", "note", f"{partial[0]} in part", f"mezzotint pull {partial[0]}")
    return Check("pulled", "pass", ", ".join(ids))


def _setting(name: str) -> object:
    """A setting's value; None while the settings cannot be read, which is a check of its own."""
    from mezzotint.config import load

    try:
        value: object = getattr(load({}).config, name)
    except MezzotintError:
        return None
    return value
