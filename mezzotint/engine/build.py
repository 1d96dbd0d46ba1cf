"""From a configuration to a memory plan, and by that plan to a model on its device."""

from __future__ import annotations

import torch

from mezzotint.config import Config
from mezzotint.engine.allocator import let_segments_grow
from mezzotint.engine.device import Device, precisions_of
from mezzotint.engine.free_memory import host_free_bytes
from mezzotint.engine.graphs import GraphTally
from mezzotint.engine.plan import Budget, MemoryPlan, Wanted, gib, make_plan
from mezzotint.engine.unheld import give_back
from mezzotint.kernels.attention.backend import Backend, has_fa4
from mezzotint.models.find import describe, describe_random_weights
from mezzotint.models.footprint import Footprint
from mezzotint.models.load import footprints, load, load_random_weights, random_footprints
from mezzotint.models.locate import locate
from mezzotint.models.spec import Build, Eager, LoadedModel, ModelSpec, OnLoad
from mezzotint.types import ConfigError, Precision, ResourceError

# What torch's libraries take of a GPU: a workspace for products on every stream, 32 MiB each on
# Hopper, tables of positions and modulation, and pieces too small to be used again.
_GPU_FIXED_BYTES = 512 * 2**20
_GPU_SPARE_BYTES = 512 * 2**20  # left of what is free, for kernels that are loaded on first use


def plan_memory(config: Config, place: Device) -> MemoryPlan:
    """Divide the memory that the configuration allows, or that is free; loads nothing.

    ResourceError if the model does not fit, ModelError if there is none.
    """
    spec, sizes = _describe(config, precisions_of(place.device))
    on_gpu = place.device.type == "cuda"
    wanted = Wanted(
        precision=place.precision,
        slots=config.slots,
        graphs=on_gpu and config.graphs,
        rows_on_host=on_gpu,  # looked up there in microseconds, once a prompt
        shared_pixels=on_gpu,  # a stream decodes one picture after the other
        fixed=config.caption_cache_mib * 2**20 + (_GPU_FIXED_BYTES if on_gpu else 0),
    )
    return make_plan(spec, sizes, find_budget(config.memory, place), wanted)


def find_budget(asked: int | None, place: Device) -> Budget:
    """What was asked for, if the device has it free, or else what is free. Bytes."""
    if place.device.type == "cuda":
        free = _gpu_free_bytes(place.device)
        spare = 0 if asked is not None else _GPU_SPARE_BYTES
    else:
        free, spare = host_free_bytes(), 0
    if asked is None:
        return Budget(num_bytes=max(free - spare, 0), asked=False)
    if asked > free:
        raise ResourceError(
            f"--memory is {gib(asked)} and {gib(free, int)} are free on {place.name}; give less, "
            "leave it out, or end what else uses the device"
        )
    return Budget(num_bytes=asked, asked=True)


def load_model(
    config: Config, place: Device, plan: MemoryPlan, graphs: GraphTally, on_load: OnLoad
) -> LoadedModel:
    """Read the configured model onto its device. ResourceError when memory runs out."""
    build = Build(
        device=place.device,
        dtype=place.dtype,
        text_rows_on_host=plan.rows_on_host,
        fp8=place.fp8,
        caption_cache_mib=config.caption_cache_mib,
        make_replay=graphs.make if plan.graphs else Eager,
        attention=_attention(config, place),
        attention_fp8=config.attention == "fp8",
        on_load=on_load,
    )
    if place.device.type == "cuda":
        let_segments_grow()
        _limit(place.device, plan.budget)
    try:
        if config.random_weights is not None:
            return load_random_weights(config.random_weights, build)
        return load(locate(config.model), config.variant, build)
    except (torch.OutOfMemoryError, MemoryError):
        pass  # its traceback holds what was loaded, until this block is left
    raise ResourceError(
        f"memory ran out while the model was loaded, which takes {gib(plan.weights)}; end what "
        "else uses the device, or give a smaller --precision"
    )


def _attention(config: Config, place: Device) -> Backend | None:
    if config.attention == "auto":
        return None
    if config.attention == "fp8":
        _check_fp8_attention(place)
        return None
    if place.device.type != "cuda":
        raise ConfigError(
            f"attention {config.attention} runs on a GPU and the device is {place.name}; leave it "
            "at auto"
        )
    if place.dtype == torch.float32:
        raise ConfigError(
            f"attention {config.attention} works in bfloat16 and the precision is fp32; leave one "
            "of them at auto"
        )
    if config.attention == "fa4" and not has_fa4():
        raise ConfigError(
            "attention fa4 needs flash-attn-4, which is not installed; install it with: "
            "pip install 'mezzotint[fa4]'"
        )
    return config.attention


def _check_fp8_attention(place: Device) -> None:
    """A CPU emulates it; a GPU must be of the kind that its kernel is written for."""
    if place.device.type == "cuda" and (major := torch.cuda.get_device_capability()[0]) != 9:
        raise ConfigError(
            f"attention fp8 is written for GPUs of compute capability 9 (H100, H200) and "
            f"{place.name} has {major}; leave attention at auto"
        )


def _describe(
    config: Config, precisions: tuple[Precision, ...]
) -> tuple[ModelSpec, dict[Precision, Footprint]]:
    if config.random_weights is None:
        path = locate(config.model)
        spec = describe(path, config.variant)
        return spec, footprints(path, config.variant, precisions)
    if config.model is not None:
        raise ConfigError(
            f"model {config.model} and random_weights {config.random_weights} exclude each "
            "other; give one of them"
        )
    return describe_random_weights(config.random_weights), random_footprints(precisions)


def _limit(device: torch.device, budget: Budget) -> None:
    """Let torch's allocator refuse what goes beyond a budget that was asked for."""
    fraction = 1.0
    if budget.asked:
        total = torch.cuda.get_device_properties(device).total_memory
        give_back()
        held = torch.cuda.memory_reserved(device)  # by other engines of this process, gaps and all
        fraction = min(1.0, (held + budget.num_bytes) / total)
    # torch wants an index here, and a device called just "cuda" has none
    torch.cuda.set_per_process_memory_fraction(fraction, torch.cuda.current_device())


def _gpu_free_bytes(device: torch.device) -> int:
    # What torch keeps of freed tensors is free to whoever comes next in this process.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + kept
