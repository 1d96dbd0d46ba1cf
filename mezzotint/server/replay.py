"""Frames recorded before, told again at their own pace, over and over; and what records them."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mezzotint.engine.stats import Outcome
from mezzotint.server.frame import DeviceState, Frame, FramePicture, FrameRun, merged
from mezzotint.types import ConfigError

MAX_BYTES = 64 * 2**20  # of a recording, unpacked
Key = TypeVar("Key")
Number = TypeVar("Number", int, float)


class Header(BaseModel):
    """A recording's first line; the others are frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mezzotint_recording: int = Field(ge=1, le=1)
    model: str
    version: str
    note: str  # the machine and the load, in words


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded, and where its numbers end, so that it can go on from there."""

    header: Header
    frames: tuple[Frame, ...]

    @property
    def length_s(self) -> float:
        return self.frames[-1].t - self.frames[0].t + 0.25


def write_recording(path: Path, header: Header, frames: list[Frame]) -> None:
    """Write a gzip file of lines of JSON; the same frames make the same bytes."""
    lines = [header.model_dump_json()]
    lines += [frame.model_dump_json(exclude_none=True, exclude_defaults=True) for frame in frames]
    data = "\n".join(lines).encode() + b"\n"
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def read_recording(path: Path) -> Recording:
    """Read what `write_recording` wrote. ConfigError when it is something else."""
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        first, *rest = data.splitlines()
        header = Header.model_validate_json(first)
        frames = tuple(Frame.model_validate_json(line) for line in rest)
    except (OSError, EOFError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error)
        reason = "its lines are no frames" if isinstance(error, ValidationError) else told
        raise ConfigError(
            f"--replay {path} cannot be replayed ({reason}); give a file that "
            "`python -m bench.record_trace` wrote"
        ) from error
    if not frames:
        raise ConfigError(f"--replay {path} holds no frames; record it again")
    return Recording(header, frames)


class ReplayFeed:
    """A Feed of a recording; when it ends it begins again, and its counts go on."""

    def __init__(self, recording: Recording, now: Callable[[], float] = time.monotonic) -> None:
        header = recording.header
        self.recorded: str | None = f"{header.model} · {header.note}"
        self._recording = recording
        self._now = now
        self._start_s = now()
        self._next = 0  # of all frames ever told
        self._ends = _ends(recording.frames)

    def clock_s(self) -> float:
        """Seconds since the stream's zero."""
        return self._now() - self._start_s

    def next(self) -> Frame | None:
        """All that is due, as one frame."""
        due: Frame | None = None
        while (frame := self._peek()).t <= self.clock_s():
            due = frame if due is None else _joined(due, frame)
            self._next += 1
        return due

    def _peek(self) -> Frame:
        frames = self._recording.frames
        turn, index = divmod(self._next, len(frames))
        shift_s = turn * self._recording.length_s - frames[0].t
        return _shifted(frames[index], shift_s, turn, self._ends)


@dataclass(frozen=True, slots=True)
class _Ends:
    """What a whole recording adds to the counts of the next turn."""

    arrived: int
    outcomes: dict[Outcome, int]
    devices: dict[int, DeviceState]
    requests: int  # the first number that no request has


def _ends(frames: tuple[Frame, ...]) -> _Ends:
    devices: dict[int, DeviceState] = {}
    requests = 0
    for frame in frames:
        named = [request[0] for request in frame.requests]
        requests = max([requests - 1, *named, *(p.request for p in frame.pictures)]) + 1
        for change in frame.devices:
            devices[change.device] = merged(devices.get(change.device), change)
    return _Ends(frames[-1].arrived, frames[-1].outcomes, devices, requests)


def _shifted(frame: Frame, shift_s: float, turn: int, ends: _Ends) -> Frame:
    first = turn * ends.requests
    return frame.model_copy(
        update={
            "t": round(frame.t + shift_s, 4),
            "arrived": frame.arrived + turn * ends.arrived,
            "outcomes": _more(frame.outcomes, ends.outcomes, turn),
            "devices": [_shifted_device(d, ends.devices[d.device], turn) for d in frame.devices],
            "requests": [(number + first, *rest) for number, *rest in frame.requests],
            "runs": [_shifted_run(run, shift_s, first) for run in frame.runs],
            "pictures": [_shifted_picture(each, shift_s, first) for each in frame.pictures],
        }
    )


def _shifted_run(run: FrameRun, shift_s: float, first: int) -> FrameRun:
    device, stage, start_ms, length_ms, replayed, members = run
    moved = [number + first if i % 2 == 0 else number for i, number in enumerate(members)]
    return (device, stage, round(start_ms + shift_s * 1e3, 2), length_ms, replayed, moved)


def _shifted_picture(picture: FramePicture, shift_s: float, first: int) -> FramePicture:
    submitted_s = round(picture.submitted_s + shift_s, 4)
    return picture.model_copy(
        update={"request": picture.request + first, "submitted_s": submitted_s}
    )


def _shifted_device(state: DeviceState, ended: DeviceState, turn: int) -> DeviceState:
    counts = ("launches", "replays", "packs", "busy_s", "causes_s")
    update = {
        name: _more(getattr(state, name), getattr(ended, name) or {}, turn)
        for name in counts
        if getattr(state, name) is not None
    }
    return state.model_copy(update=update)


def _more(
    counts: Mapping[Key, Number], each: Mapping[Key, Number], turns: int
) -> dict[Key, Number]:
    sums = dict(counts)
    for key, value in each.items() if turns else ():
        sums[key] = sums[key] + value * turns if key in sums else value * turns
    return sums


def _joined(first: Frame, second: Frame) -> Frame:
    lists = ("devices", "requests", "runs", "pictures")
    update = {name: [*getattr(first, name), *getattr(second, name)] for name in lists}
    return second.model_copy(update=update | {"missed": first.missed + second.missed})
