"""The stats: frames and their size, the stream, the history, the trace, a replay."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runner import FakeRunner, count_tokens
from serving import Running, serving, until

from mezzotint.jobs.dispatch import Terms
from mezzotint.server.chronicle import Chronicle, percentile
from mezzotint.server.frame import (
    MAX_FRAME_BYTES,
    DeviceState,
    Frame,
    FramePicture,
    GpuReading,
    QueueState,
    changed,
    encode_frame,
    merged,
)
from mezzotint.server.gpus import Gpus
from mezzotint.server.live import LiveFeed, balance_between
from mezzotint.server.queue import Queue
from mezzotint.server.replay import Header, ReplayFeed, read_recording, write_recording
from mezzotint.server.source import RunnerSource, Served
from mezzotint.types import ConfigError, Request

CALL = {"prompt": "a red apple", "size": "64x64", "steps": 4}
ROUTE = "/v1/images/generations"
STATS = "/api/v1/stats"
QUEUE = QueueState(accepted=0, waiting=0, running=0)


def frame(t: float, **values: Any) -> Frame:
    return Frame(**{"t": t, "queue": QUEUE, "arrived": 0, "outcomes": {}, **values})


def run(number: int, device: int = 0) -> tuple[Any, ...]:
    return (device, 1, number * 10.0, 9.5, 1, [number, 1, number + 1, 3])


def events(server: Running, count: int, path: str = f"{STATS}/stream") -> list[dict[str, str]]:
    """The first events of a stream, as {event, id, data}."""
    found: list[dict[str, str]] = []
    with server.client() as http, http.stream("GET", path) as answer:
        assert answer.status_code == 200
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                event[name] = value
            elif event:
                found.append(event)
                event = {}
                if len(found) == count:
                    break
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(FakeRunner(step_s=0.005)) as running:
        yield running


def test_the_stream_tells_all_that_runs(server: Running) -> None:
    with server.client() as http:
        start = http.get(f"{STATS}/history").json()
        http.post(ROUTE, json=CALL | {"n": 3})
        until(lambda: http.get(STATS).json()["outcomes"].get("finished", 0) >= 3)
        seen = events(server, 1, f"{STATS}/stream?after={start['last_id']}")
        history = http.get(f"{STATS}/history").json()
    assert seen[0]["event"] == "frame"
    frames = [Frame.model_validate_json(seen[0]["data"])]
    assert frames[0].t > start["t"]
    stages = Counter(run[1] for run in history["runs"])
    assert stages == {0: 3, 1: 12, 2: 3, 3: 3}
    assert {request[1:] == [64, 64, 4] for request in map(list, history["requests"])} == {True}
    for picture in history["pictures"]:
        assert sum(picture["stages_ms"].values()) == pytest.approx(picture["total_ms"], rel=0.05)
    assert (history["clock"], history.get("recorded")) == ("host", None)


def test_a_stream_goes_on_where_it_was_cut(server: Running) -> None:
    first = events(server, 2)
    again = events(server, 1, f"{STATS}/stream?after={first[0]['id']}")
    assert again[0] == first[1]


@pytest.mark.parametrize("after", ["deadbeef.3", "{boot}.999999"])
def test_what_cannot_be_resumed_is_said(server: Running, after: str) -> None:
    with server.client() as http:
        boot = http.get(f"{STATS}/history").json()["last_id"].partition(".")[0]
    (event,) = events(server, 1, f"{STATS}/stream?after={after.format(boot=boot)}")
    assert event == {"event": "reset", "data": "{}"}


@pytest.mark.parametrize("last", ["seen", "1795389921000000", "deadbeef.1234567890123456"])
def test_an_id_that_is_no_frames_is_refused_before_the_stream_begins(
    server: Running, last: str
) -> None:
    with server.client() as http:
        answer = http.get(f"{STATS}/stream", headers={"Last-Event-ID": last})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_value")
    assert error["param"] == "last-event-id"


def test_at_most_four_frames_a_second_and_one_when_nothing_happens(server: Running) -> None:
    start = time.monotonic()
    for _ in range(2):
        events(server, 3)
    assert time.monotonic() - start >= 2.0  # three a stream, a second apart


def test_the_snapshot_says_where_the_server_stands(server: Running) -> None:
    with server.client() as http:
        http.post(ROUTE, json=CALL)
        until(lambda: "total" in http.get(STATS).json()["stages"])
        stats = http.get(STATS).json()
    assert stats["stages"]["denoise"]["p50_ms"] >= 4 * 5
    assert stats["images_per_s"] > 0
    (device,) = stats["devices"]
    assert device["memory_bytes"] == {"weights": 1, "slots": 2}
    assert sum(device["balance"]["shares"].values()) == pytest.approx(1, abs=0.001)
    assert device["ceiling_tflops"] is None  # nobody measured a CPU
    assert device["gpu"] is None


def test_the_trace_is_one_for_perfetto(server: Running) -> None:
    with server.client() as http:
        http.post(ROUTE, json=CALL)
        until(lambda: http.get(f"{STATS}/trace").json()["traceEvents"])
        answer = http.get(f"{STATS}/trace")
    assert "mezzotint-trace.json" in answer.headers["content-disposition"]
    spans = [e for e in answer.json()["traceEvents"] if e["ph"] == "X"]
    assert {"encode", "denoise", "decode"} == {span["cat"] for span in spans}
    denoise = next(span for span in spans if span["cat"] == "denoise")
    assert denoise["args"]["members"][0]["size"] == "64x64"


def test_a_frame_never_exceeds_its_bytes() -> None:
    pictures = [
        FramePicture(
            request=n,
            device=0,
            outcome="finished",
            width=64,
            height=64,
            steps=8,
            submitted_s=1.0,
            total_ms=2.0,
            tflop=0.5,
            stages_ms={"denoise": 1.234, "decode": 0.5},
        )
        for n in range(300)
    ]
    large = frame(1.0, runs=[run(n) for n in range(5000)], pictures=pictures)
    data = encode_frame(large)
    kept = Frame.model_validate_json(data)
    assert len(data) <= MAX_FRAME_BYTES
    assert kept.missed + len(kept.runs) == 5000
    few = frame(1.0, runs=[run(n) for n in range(5000)])
    kept = Frame.model_validate_json(encode_frame(few))
    assert kept.runs[-1] == run(4999)
    assert len(kept.runs) > 200
    assert encode_frame(frame(1.0, runs=[run(1)])).count(b"missed") == 0


def test_what_does_not_change_is_not_sent_again() -> None:
    before = DeviceState(device=1, name="H200", packs={1: 2}, gpu=GpuReading(utilization=0.5))
    now = before.model_copy(update={"packs": {1: 3}})
    change = changed(before, now)
    assert change.model_dump(exclude_none=True) == {"device": 1, "packs": {1: 3}}
    assert merged(before, change) == now
    assert changed(None, now) == now


@pytest.mark.parametrize(
    ("spent", "culprit"),
    [
        ({"denoise": 9.5, "decode": 0.5}, "nobody"),
        ({"denoise": 9.5, "idle": 90.0, "host": 0.5}, "nobody"),
        ({"denoise": 7.0, "decode": 2.0, "encode": 1.0}, "vae"),
        ({"denoise": 7.0, "decode": 1.0, "encode": 2.0}, "text_encoder"),
        ({"denoise": 5.0, "host": 5.0}, "host"),
        ({"denoise": 5.0, "file": 5.0}, "file"),
        ({"idle": 10.0}, "no_work"),
        ({"idle": 10.0, "host": 0.1}, "no_work"),
        ({}, "no_work"),
    ],
)
def test_whom_the_engine_waits_for(spent: dict[str, float], culprit: str) -> None:
    base = {"denoise": 100.0, "idle": 3.0}
    now = {cause: base.get(cause, 0.0) + spent.get(cause, 0.0) for cause in {*base, *spent}}
    balance = balance_between(base, now)  # type: ignore[arg-type]
    assert balance.waits_for == culprit
    assert sum(balance.shares.values()) == pytest.approx(1, abs=0.001)


def test_ten_minutes_are_kept_and_no_more() -> None:
    chronicle = Chronicle()
    for tick in range(4 * 700):
        chronicle.add(frame(tick / 4, runs=[run(2 * tick), run(2 * tick + 1)]))
    times = [point.t for point in chronicle.points]
    assert len(times) == 300
    assert times[-1] - times[0] == 598
    assert all(b - a == 2 for a, b in itertools.pairwise(times))
    assert len(chronicle.runs) == 4096


def test_percentiles_are_of_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert percentile([7.0], 0.99) == 7.0


def test_a_recording_is_told_at_its_own_pace_and_goes_on_from_its_end(tmp_path: Path) -> None:
    device = DeviceState(device=0, name="H200", clock="device", launches={"denoise": 5})
    frames = [
        frame(
            3.0, devices=[device], requests=[(7, 64, 64, 4)], runs=[(0, 1, 2990.0, 9, 1, [7, 1])]
        ),
        frame(3.25, arrived=1, outcomes={"finished": 1}),
    ]
    path = tmp_path / "r.jsonl.gz"
    header = Header(mezzotint_recording=1, model="m", version="1", note="a test")
    write_recording(path, header, frames)
    now = 100.0
    feed = ReplayFeed(read_recording(path), now=lambda: now)
    first = feed.next()
    assert first is not None
    assert (first.t, first.runs[0][2], first.requests[0][0]) == (0.0, -10.0, 7)
    assert feed.next() is None
    now = 100.5  # the second frame, and the first of the next turn
    second = feed.next()
    assert second is not None
    assert (second.t, second.arrived, second.outcomes) == (0.5, 1, {"finished": 1})
    assert second.requests == [(15, 64, 64, 4)]
    assert second.runs[0][5] == [15, 1]
    assert second.devices[0].launches == {"denoise": 10}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Not a gzipped|cannot be replayed"),
        (b"plain", "Not a gzipped"),
        (gzip.compress(b'{"mezzotint_recording": 2}\n'), "no frames"),
        (gzip.compress(b'{"mezzotint_recording":1,"model":"","version":"","note":""}\n'), "again"),
        (
            gzip.compress(b'{"mezzotint_recording":1,"model":"","version":"","note":""}\n{"t":1}'),
            "no frames",
        ),
    ],
    ids=[
        "empty",
        "plain",
        "of another version",
        "cut off",
        "no frame",
    ],  # not by bytes that tell the time
)
def test_what_is_no_recording_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "r.gz"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=words):
        read_recording(path)


def test_a_recording_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be replayed \(No such file or directory\);"):
        read_recording(tmp_path / "r.gz")


def test_a_replay_is_labelled(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.gz"
    states = [DeviceState(device=n, name="H200", clock="device") for n in range(2)]
    header = Header(mezzotint_recording=1, model="m", version="1", note="a test")
    write_recording(
        path, header, [frame(0.0, devices=states), frame(0.25, runs=[run(1, device=1)])]
    )
    with serving(feed=ReplayFeed(read_recording(path))) as server, server.client() as http:
        until(lambda: http.get(f"{STATS}/history").json()["runs"] != [])
        stats = http.get(STATS).json()
    assert (stats["recorded"], stats["clock"]) == ("m · a test", "device")
    assert len(stats["devices"]) == 2


def test_watching_costs_next_to_nothing() -> None:
    """A frame of what eight GPUs do in 250 ms, 60 ms a step, takes less than 1 % of it."""
    runner = FakeRunner()
    source = RunnerSource(lambda: Served(runner, count_tokens))
    source.start()
    until(lambda: source.peek() is not None)
    feed = LiveFeed(source, Queue(8), Gpus(visible=""))
    best = float("inf")
    for _ in range(5):
        tickets = runner.submit_all([Request(prompt="a", width=64, height=64, steps=8)] * 4)
        for ticket in tickets:
            ticket.result(20)
        start = time.thread_time()
        new = feed.next()
        assert new is not None
        encode_frame(new)
        best = min(best, time.thread_time() - start)
        assert len(new.runs) == 44
    source.close()
    assert best < 5e-3


def test_everyone_who_listens_gets_every_frame(server: Running) -> None:
    seen: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: seen.append([e["id"] for e in events(server, 3)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ids in seen:
        numbers = [int(each.partition(".")[2]) for each in ids]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert json.dumps(seen)


def test_shown_stages_are_the_time_that_was_measured_over_500_requests() -> None:
    """From the line to the picture, around a fake runner that sleeps its steps."""
    runner = FakeRunner(step_s=0.01, slots=8)
    source = RunnerSource(lambda: Served(runner, count_tokens))
    queue = Queue(lambda: 64)
    source.when_open(lambda served: queue.open(served, lambda: True, lambda _: None))
    source.start()
    until(lambda: source.peek() is not None)
    feed = LiveFeed(source, queue, Gpus(visible=""))
    request = Request(prompt="a red apple", width=64, height=64, steps=4)
    measured_s: list[float] = []
    shown: list[FramePicture] = []
    for _ in range(20):  # 25 at once: most of them wait in the line
        places = queue.line.admit([request] * 25, Terms())
        start = time.monotonic()
        for place in places:
            place.future.add_done_callback(
                lambda _, at=start: measured_s.append(time.monotonic() - at)
            )
        queue.line.enter(places)
        for place in places:
            place.result(20)
        frame = feed.next()
        shown += frame.pictures if frame is not None else []
    queue.close()
    source.close()
    assert (len(shown), len(measured_s)) == (500, 500)
    shown_s = sum(sum(each.stages_ms.values()) for each in shown) / 1e3
    assert shown_s / sum(measured_s) == pytest.approx(1, abs=0.05)
    assert sum(each.total_ms for each in shown) / 1e3 == pytest.approx(sum(measured_s), rel=0.05)
