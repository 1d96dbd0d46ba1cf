"""Every recording that the page's tests replay: real, small, and adding up."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from mezzotint.engine.record import CAUSES
from mezzotint.server.frame import MAX_FRAME_BYTES, DeviceState, FramePicture, encode_frame, merged
from mezzotint.server.replay import Recording, read_recording

FOLDER = Path(__file__).parents[1] / "web" / "recordings"
FILES = sorted(FOLDER.glob("*.jsonl.gz"))
MAX_FILE_BYTES = 500_000


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def recording(request: pytest.FixtureRequest) -> Recording:
    assert request.param.stat().st_size <= MAX_FILE_BYTES
    return read_recording(request.param)


def pictures_of(recording: Recording) -> list[FramePicture]:
    return [
        picture
        for frame in recording.frames
        for picture in frame.pictures
        if picture.outcome == "finished"
    ]


def test_there_is_one() -> None:
    assert FILES


def test_its_stages_are_the_measured_time(recording: Recording) -> None:
    pictures = pictures_of(recording)
    assert len(pictures) >= 20
    assert len({(picture.width, picture.height) for picture in pictures}) >= 3
    shown = sum(sum(picture.stages_ms.values()) for picture in pictures)
    assert shown == pytest.approx(sum(picture.total_ms for picture in pictures), rel=0.05)


def test_every_run_of_a_finished_picture_is_there(recording: Recording) -> None:
    steps: dict[int, set[int]] = {}
    for frame in recording.frames:
        for _, stage, _, _, _, members in frame.runs:
            if stage == 1:
                for request, step in zip(members[::2], members[1::2], strict=True):
                    steps.setdefault(request, set()).add(step)
    assert sum(frame.missed for frame in recording.frames) == 0
    for picture in pictures_of(recording):
        assert steps[picture.request] == set(range(1, picture.steps + 1))


def test_its_frames_are_few_and_small(recording: Recording) -> None:
    assert all(len(encode_frame(frame)) <= MAX_FRAME_BYTES for frame in recording.frames)
    times = [frame.t for frame in recording.frames]
    assert all(before < after for before, after in pairwise(times))
    assert len(times) <= 4 * (times[-1] - times[0]) + 1


def test_every_device_accounts_for_its_time(recording: Recording) -> None:
    first: dict[int, tuple[float, DeviceState]] = {}
    last: dict[int, tuple[float, DeviceState]] = {}
    for frame in recording.frames:
        for change in frame.devices:
            known = last.get(change.device, (0.0, None))[1]
            last[change.device] = (frame.t, merged(known, change))
            first.setdefault(change.device, last[change.device])
    assert last
    for device, (until, state) in last.items():
        since, start = first[device]
        assert state.causes_s is not None
        assert start.causes_s is not None
        spent = sum(state.causes_s[c] - start.causes_s[c] for c in CAUSES)
        assert spent == pytest.approx(until - since, rel=0.05)
