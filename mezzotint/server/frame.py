"""What the stats stream sends, and a recording holds: one frame a tick, only what is new."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mezzotint.engine.record import Cause, RunStage
from mezzotint.engine.stats import Outcome

FrameStage = Literal["queue", "encode", "denoise", "decode", "file", "wait"]
Culprit = Literal["nobody", "text_encoder", "vae", "file", "host", "no_work"]

# [device, stage 0-3, start ms, length ms, replayed 0 or 1, [request, step, request, step, ...]]
FrameRun = tuple[int, int, float, float, int, list[int]]
FrameRequest = tuple[int, int, int, int]  # [request, width px, height px, steps]

MAX_FRAME_BYTES = 16 * 1024  # four of them a second: at most 64 KiB/s a subscriber


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GpuReading(_Part):
    """What the driver says of a GPU; read twice a second, where nvidia-ml-py and a driver are."""

    utilization: float | None = Field(
        default=None, ge=0, le=1, description="Share of the last sample in which a kernel ran."
    )
    memory_used_bytes: int | None = Field(default=None, ge=0, description="By all processes.")
    memory_total_bytes: int | None = Field(default=None, ge=0, description="Of the device.")
    power_watts: float | None = Field(default=None, ge=0, description="Power drawn, W.")
    power_limit_watts: float | None = Field(default=None, ge=0, description="Its limit, W.")
    clock_mhz: int | None = Field(default=None, ge=0, description="Of the multiprocessors, MHz.")
    temperature_c: int | None = Field(default=None, description="Of the GPU, degrees Celsius.")


class Balance(_Part):
    """What a device waited for lately; the shares are of the time and sum to 1."""

    waits_for: Culprit = Field(
        description="nobody: denoising ran for 90 % of the time in which there was work; "
        "text_encoder, vae, file, host: what took most of the rest; no_work: there was none."
    )
    shares: dict[Cause, float] = Field(
        description="By cause, each moment counted once: denoise (a step ran), encode, decode and "
        "file (that ran and no step did), host (nothing ran, though requests were in flight), "
        "idle (none was)."
    )


class DeviceState(_Part):
    """One device. In a frame, a field that has not changed since the last one is left out."""

    device: int = Field(ge=0, description="Its number, from 0.")
    name: str | None = Field(default=None, description="As the driver calls it; cpu without one.")
    precision: str | None = Field(default=None, description="Of the weights: fp32, bf16, fp8.")
    clock: Literal["host", "device"] | None = Field(
        default=None,
        description="Whose clock timed encode, denoise and decode; queue and file are the host's.",
    )
    launches: dict[RunStage, int] | None = Field(
        default=None, description="Launches by stage, since the start."
    )
    replays: dict[RunStage, int] | None = Field(
        default=None, description="Of the launches, those that were CUDA graphs alone."
    )
    packs: dict[int, int] | None = Field(
        default=None, description="Denoise launches by number of requests in them."
    )
    busy_s: dict[RunStage, float] | None = Field(
        default=None, description="Sum of the runs of each stage, s."
    )
    causes_s: dict[Cause, float] | None = Field(
        default=None, description="All time shared out by cause, s; see Balance.shares."
    )
    memory_bytes: dict[str, int] | None = Field(
        default=None,
        description="By what holds it: weights, slots, and on a GPU graphs and arenas (all else "
        "that torch holds, its cache included).",
    )
    ceiling_tflops: float | None = Field(
        default=None,
        ge=0,
        description="TFLOP/s its matrix units reached in our bench; null where nobody measured it.",
    )
    balance: Balance | None = Field(default=None, description="Over the last ten seconds.")
    gpu: GpuReading | None = Field(default=None, description="What NVML says of it.")


class FramePicture(_Part):
    """A request that has ended."""

    request: int = Field(ge=0, description="Its number, as in runs.")
    device: int = Field(ge=0, description="What made it.")
    outcome: Outcome = Field(description="How it ended.")
    width: int = Field(ge=1, description="px")
    height: int = Field(ge=1, description="px")
    steps: int = Field(ge=1, description="Denoise steps it was given.")
    asked_steps: tuple[int, int] | None = Field(
        default=None, description="The range its caller left open, [min, max]."
    )
    submitted_s: float = Field(description="When it came, s since the stream's zero.")
    total_ms: float = Field(ge=0, description="From then to its end, ms.")
    tflop: float = Field(ge=0, description="Arithmetic of all its denoise steps, TFLOP.")
    stages_ms: dict[FrameStage, float] = Field(
        default_factory=dict,
        description="Its time in each stage and between them (wait), ms; they sum to total_ms but "
        "for hand-overs. Empty unless finished.",
    )


class QueueState(_Part):
    """Pictures under way."""

    accepted: int = Field(ge=0, description="Accepted over HTTP and not ended.")
    waiting: int = Field(ge=0, description="That wait for a device.")
    running: int = Field(ge=0, description="That a device has.")


class Frame(_Part):
    """What is new since the frame before."""

    t: float = Field(description="When, s since the stream's zero.")
    queue: QueueState = Field(description="Pictures under way.")
    arrived: int = Field(ge=0, description="Pictures that ever came.")
    outcomes: dict[Outcome, int] = Field(description="Pictures that ever ended, by how.")
    devices: list[DeviceState] = Field(default_factory=list, description="What changed of each.")
    requests: list[FrameRequest] = Field(
        default_factory=list,
        description="Requests that a run names for the first time: [request, width, height, steps]",
    )
    runs: list[FrameRun] = Field(
        default_factory=list,
        description="[device, stage (0 encode, 1 denoise, 2 decode, 3 file), start ms since the "
        "stream's zero, length ms, 1 if it was CUDA graphs alone, "
        "[request, step, request, step, ...]]",
    )
    pictures: list[FramePicture] = Field(default_factory=list, description="That have ended.")
    missed: int = Field(default=0, ge=0, description="Runs left out, to keep the stream small.")


def encode_frame(frame: Frame) -> bytes:
    """A frame in JSON, in at most MAX_FRAME_BYTES: the oldest runs are left out, and counted."""
    data = frame.model_dump_json(exclude_none=True, exclude_defaults=True).encode()
    while len(data) > MAX_FRAME_BYTES and (frame.runs or frame.pictures):
        keep = min(len(frame.runs) * MAX_FRAME_BYTES // (len(data) + 1), len(frame.runs) - 1)
        runs = frame.runs[-keep:] if keep > 0 else []
        pictures = frame.pictures if frame.runs else frame.pictures[len(frame.pictures) // 2 + 1 :]
        missed = frame.missed + len(frame.runs) - len(runs)
        frame = frame.model_copy(update={"runs": runs, "pictures": pictures, "missed": missed})
        data = frame.model_dump_json(exclude_none=True, exclude_defaults=True).encode()
    return data


def changed(before: DeviceState | None, now: DeviceState) -> DeviceState:
    """`now` without what is as it was before."""
    if before is None:
        return now
    new = {
        name: getattr(now, name)
        for name in DeviceState.model_fields
        if name == "device" or getattr(now, name) != getattr(before, name)
    }
    return DeviceState.model_construct(**new)


def merged(before: DeviceState | None, change: DeviceState) -> DeviceState:
    """A state brought up to date by what `changed` left of the next one."""
    if before is None:
        return change
    new = {
        name: value
        for name in change.model_fields_set
        if (value := getattr(change, name)) is not None
    }
    return before.model_copy(update=new)
