"""Frames, the channel, shared memory, patience and placement, each alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mezzotint.engine.plan import Largest
from mezzotint.engine.record import DeviceReport, Mark, Member, Run
from mezzotint.types import Cancelled, Provenance, Request, RequestError, ResourceError, Span
from mezzotint.workers import frames
from mezzotint.workers.block import read_block, write_block
from mezzotint.workers.channel import Channel
from mezzotint.workers.errors import MAX_MESSAGE, WorkerError, error_of, kind_of, message_of
from mezzotint.workers.frames import MAX_FRAME_BYTES, FrameError
from mezzotint.workers.pace import Pace, Policy
from mezzotint.workers.placement import Seat, Waiting, place
from mezzotint.workers.watch import Watch

PROVENANCE = Provenance(
    model="m", weights="w", precision="bf16", device="d", versions=(("mezzotint", "1"),)
)
RUN = Run("denoise", 1.5, 1.75, True, (Member(3, 1, 8, 64, 32), Member(4, 2, 8, 32, 64)))
REPORT = DeviceReport(
    device=0,
    name="d",
    precision="bf16",
    clock="device",
    launches={"denoise": 5},
    replays={"denoise": 4},
    packs={1: 3, 2: 2},
    busy_s={"denoise": 0.5},
    causes_s={"denoise": 0.5, "host": 0.25},
    memory_bytes={"weights": 2**34},
)
TO_POOL = [
    frames.Loading(5, 2**40),
    frames.Ready(PROVENANCE, Largest(2**22, 2**20)),
    frames.Refused("model", "no weights"),
    frames.Progressed(3, "denoise", 1, 8, (8, 16)),
    frames.Finished(3, 64, 32, 100, (Span("denoise", 0.5, 2.0),)),
    frames.Failed(3, "resource", "显存不足"),
    frames.Observed((RUN,), REPORT),
]
TO_WORKER = [
    frames.Open("{}"),
    frames.Submit(2**40, Request(prompt="红苹果", seed=2**63 - 1, guidance=4.0, previews=3)),
    frames.Cancel(1),
    frames.Close(),
]


def test_a_replaced_worker_counts_on_and_devices_keep_apart() -> None:
    watch = Watch()
    watch.observed(0, frames.Observed((RUN,), REPORT))
    watch.observed(1, frames.Observed((RUN, RUN), REPORT))
    first = watch.observe(Mark())
    assert [run.device for run in first.runs] == [0, 1, 1]
    watch.lost(1)
    watch.observed(1, frames.Observed((), replace(REPORT, packs={2: 1, 4: 1})))
    second = watch.observe(first.mark)
    assert (second.runs, second.missed) == ((), 0)
    devices = {report.device: report for report in second.devices}
    assert devices[0] == REPORT
    assert devices[1].launches == {"denoise": 10}
    assert devices[1].packs == {1: 3, 2: 3, 4: 1}
    assert devices[1].causes_s == {"denoise": 1.0, "host": 0.5}


def pair() -> tuple[Channel, Channel]:
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


@pytest.mark.parametrize("frame", TO_POOL)
def test_frames_to_the_pool_come_back(frame: frames.ToPool) -> None:
    assert frames.decode_to_pool(frames.encode(frame)) == frame


@pytest.mark.parametrize("frame", TO_WORKER)
def test_frames_to_a_worker_come_back(frame: frames.ToWorker) -> None:
    assert frames.decode_to_worker(frames.encode(frame)) == frame


def test_a_frame_meant_for_the_other_side_is_refused() -> None:
    for frame in TO_WORKER:
        with pytest.raises(FrameError):
            frames.decode_to_pool(frames.encode(frame))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_are_a_frame_error_or_a_frame(data: st.DataObject) -> None:
    payload = bytearray(frames.encode(data.draw(st.sampled_from(TO_POOL))))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FrameError):
        assert isinstance(frames.decode_to_pool(bytes(payload)), frames.Frame)


def test_a_frame_has_a_largest_size() -> None:
    with pytest.raises(FrameError, match=str(MAX_FRAME_BYTES)):
        frames.encode(frames.Open("a" * MAX_FRAME_BYTES))


def test_channel_keeps_order_over_many_sends_with_and_without_blocks() -> None:
    one, other = pair()

    def send() -> None:
        for i in range(300):
            block = write_block([memoryview(bytes([i % 256]) * i)]) if i % 3 == 0 else None
            one.send(bytes([i % 256]) * (i * 7), block)
            if block is not None:
                os.close(block)
        one.hang_up()

    thread = threading.Thread(target=send)
    thread.start()
    for i in range(300):
        assert other.receive() == bytes([i % 256]) * (i * 7)
        if i % 3 == 0:
            block = other.take_descriptor()
            content = bytearray(i)
            read_block(block, [memoryview(content)])
            os.close(block)
            assert content == bytes([i % 256]) * i
    assert other.receive() is None
    thread.join()
    with pytest.raises(FrameError, match="without its descriptor"):
        other.take_descriptor()
    one.close()
    other.close()


def test_channel_refuses_a_length_above_the_limit_before_it_reads_on() -> None:
    one, other = socket.socketpair()
    channel = Channel(other)
    one.sendall((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="claims"):
        channel.receive()
    one.close()
    channel.close()


def test_channel_refuses_a_flood_of_descriptors_and_frees_them() -> None:
    one, other = socket.socketpair()
    channel = Channel(other)
    null = os.open(os.devnull, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        socket.send_fds(one, [b"\0\0\0\1"], [null] * 3)
    with pytest.raises(FrameError, match="more descriptors"):
        list(iter(channel.receive, None))
    channel.close()
    one.close()
    assert len(os.listdir("/proc/self/fd")) == before - 2  # noqa: PTH208
    os.close(null)


def test_a_frame_cut_by_the_peers_death_is_an_end() -> None:
    one, other = socket.socketpair()
    channel = Channel(other)
    one.sendall((10).to_bytes(4, "big") + b"abc")
    one.close()
    assert channel.receive() is None
    channel.close()


def test_a_block_of_another_size_is_refused() -> None:
    block = write_block([memoryview(b"abc"), memoryview(b"")])
    for size in (2, 4):
        with pytest.raises(FrameError, match="in place of"):
            read_block(block, [memoryview(bytearray(size))])
    os.close(block)


def test_errors_keep_their_type_and_sentence() -> None:
    for error in (RequestError("r"), ResourceError("m"), Cancelled("c")):
        back = error_of(kind_of(error), message_of(error))
        assert (type(back), str(back)) == (type(error), str(error))
    assert kind_of(MemoryError()) == "resource"
    assert kind_of(RuntimeError("CUDA error: an illegal memory access")) == "device"
    assert kind_of(KeyError("a")) == "other"
    assert type(error_of("other", "KeyError: a")) is WorkerError
    assert len(message_of(KeyError("\ud800" * 9999))) == MAX_MESSAGE


def test_patience_is_long_at_first_then_ten_times_the_slowest_stages_median() -> None:
    pace = Pace(Policy(silence_s=10, silence_factor=10, first_picture_s=300))
    now = 100.0
    pace.begin(now)
    assert pace.patience(1.0) == 300
    for stage, gap in (("encode", 3.0), ("denoise", 0.5), ("denoise", 0.6), ("decode", 1.0)):
        now += gap
        pace.note(stage, 1.0, now)
    pace.finished = 1
    assert pace.patience(1.0) == pytest.approx(30.0)
    assert pace.patience(0.1) == pytest.approx(30.0)  # encoding does not get quicker
    assert pace.patience(4.0) == pytest.approx(120.0)


def test_patience_has_a_floor() -> None:
    pace = Pace(Policy(silence_s=10))
    pace.finished = 1
    assert pace.patience(1.0) == 10
    pace.note("denoise", 0.0, 0.001)
    assert pace.patience(5.0) == 10


def seat(worker: int, load: float = 0.0, room: int = 10, suspect: bool = False) -> Seat:
    return Seat(worker=worker, room=room, load=load, empty=load == 0, suspect=suspect)


def ask(id: int, cost: float = 1.0, suspect: bool = False) -> Waiting:
    return Waiting(id, cost, suspect)


def test_placement_balances_cost_and_keeps_to_the_room() -> None:
    queue = [ask(0, 5.0), ask(1), ask(2), ask(3)]
    assert place(queue, [seat(0), seat(1)]) == [(0, 0), (1, 1), (2, 1), (3, 1)]
    assert place(queue, [seat(0, room=1), seat(1, room=2)]) == [(0, 0), (1, 1), (2, 1)]
    assert place(queue, []) == []


def test_a_suspect_runs_alone_and_a_worker_is_kept_free_for_it() -> None:
    suspect = ask(9, suspect=True)
    assert place([suspect, ask(1)], [seat(0), seat(1)]) == [(9, 0), (1, 1)]
    # Nobody is empty: the least loaded gets no more, the other goes on.
    assert place([suspect, ask(1)], [seat(0, 4.0), seat(1, 2.0)]) == [(1, 0)]
    assert place([ask(1)], [seat(0, 1.0, suspect=True)]) == []


@given(
    st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=20),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=4),
)
def test_placement_never_overfills_nor_mixes_a_suspect(
    asked: list[tuple[float, bool]], places: list[tuple[int, int, bool]]
) -> None:
    queue = [ask(i, cost, suspect) for i, (cost, suspect) in enumerate(asked)]
    seats = [
        Seat(worker=i, room=room, load=held, empty=held == 0, suspect=suspect and held > 0)
        for i, (room, held, suspect) in enumerate(places)
    ]
    room = {s.worker: s.room for s in seats}
    empty = {s.worker: s.empty for s in seats}
    barred = {s.worker for s in seats if s.suspect}
    pairs = place(queue, seats)
    assert len({request for request, _ in pairs}) == len(pairs)
    for worker in {worker for _, worker in pairs}:
        given_here = [queue[request] for request, at in pairs if at == worker]
        assert worker not in barred
        if any(waiting.suspect for waiting in given_here):
            assert len(given_here) == 1
            assert empty[worker]
        else:
            assert len(given_here) <= room[worker]


def test_what_is_loaded_is_left_out_of_later_collections() -> None:
    code = """
import gc, torch
from mezzotint.workers.settle import settle
settle()
print(gc.get_freeze_count(), len(gc.get_objects()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frozen, left = map(int, done.stdout.split())
    assert frozen > 50_000 > 100 * left
