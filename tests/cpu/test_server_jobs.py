"""Jobs over HTTP: accepted and kept, watched without a gap, seen by their owners alone."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_runner import FakeRunner, count_tokens
from serving import LIMIT_S, Running, serving, until

from mezzotint.engine.capacity import Capacity
from mezzotint.jobs import keys
from mezzotint.jobs.database import Database
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.place import DataFolder
from mezzotint.server import events as server_events
from mezzotint.server.history import History
from mezzotint.server.hub import Hub, Scope
from mezzotint.server.keys import FixedKeys, StoredKeys
from mezzotint.server.settings import Settings
from mezzotint.server.source import Served
from mezzotint.types import ResourceError
from mezzotint.workers.errors import WorkerError

API = "/api/v1"
CALL = {"prompt": "a red apple", "width": 64, "height": 64, "steps": 2, "seed": 7}
ENDS = ("done", "failed", "cancelled")


@dataclass
class Event:
    id: int
    name: str
    data: Any


class World:
    """A server over a data folder that outlives it."""

    def __init__(self, running: Running, headers: dict[str, str]) -> None:
        self.running = running
        self.http = running.client(headers=headers)

    def post(self, **call: Any) -> Any:
        answer = self.http.post(f"{API}/jobs", json=CALL | call)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, id: str) -> Any:
        return self.http.get(f"{API}/jobs/{id}").raise_for_status().json()

    def wait(self, id: str, *states: str) -> Any:
        until(lambda: self.job(id)["state"] in (states or ENDS))
        return self.job(id)


@contextmanager
def world_of(
    folder: Path,
    runner: FakeRunner | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Iterator[World]:
    place = DataFolder(folder)
    with Database(place.database) as database:
        history = History(Gallery(database, place.files))
        with serving(runner, history=history, **more) as running:
            world = World(running, {})
            with world.http:
                yield world


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


@contextmanager
def listening(
    http: httpx2.Client, path: str = f"{API}/events", since: int | None = None
) -> Iterator[Iterator[Event]]:
    headers = {} if since is None else {"Last-Event-ID": str(since)}
    with http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        yield events_of(answer.iter_lines())


def test_a_job_is_accepted_made_listed_and_deleted(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        answer = world.http.post(f"{API}/jobs", json=CALL | {"n": 2, "format": "webp"})
        assert answer.status_code == 202
        job = answer.json()
        assert answer.headers["location"] == f"{API}/jobs/{job['id']}"
        done = world.wait(job["id"])
        assert (done["state"], done["error"], done["position"], done["progress"]) == (
            *("done", None, None, None),
        )
        assert done["created_at"] <= done["started_at"] <= done["ended_at"]
        assert done["request"] == {
            "prompt": "a red apple",
            "negative_prompt": "",
            "width": 64,
            "height": 64,
            "steps": 2,
            "steps_asked": None,
            "guidance": 1.5,
            "seed": 7,
            "n": 2,
            "preset": None,
            "format": "webp",
            "metadata": "minimal",
            "priority": 0,
        }
        assert [image["seed"] for image in done["images"]] == [7, 8]
        file = world.http.get(done["images"][0]["file_url"])
        assert file.content.startswith(b"RIFF")
        assert done["images"][0]["timings"]["denoise_ms"] > 0
        assert world.http.get(f"{API}/images", params={"format": "png"}).json()["data"] == []
        assert len(world.http.get(f"{API}/images", params={"format": "webp"}).json()["data"]) == 2
        second = world.post()
        world.wait(second["id"])
        page = world.http.get(f"{API}/jobs", params={"limit": 1}).json()
        assert [each["id"] for each in page["jobs"]] == [second["id"]]
        rest = world.http.get(f"{API}/jobs", params={"cursor": page["next_cursor"]}).json()
        assert [each["id"] for each in rest["jobs"]] == [job["id"]]
        assert rest["jobs"][0] == done
        assert world.http.get(f"{API}/jobs", params={"state": "failed"}).json()["jobs"] == []
        assert world.http.delete(f"{API}/jobs/{job['id']}").status_code == 204
        assert world.http.delete(f"{API}/jobs/{job['id']}").status_code == 404
        assert len(world.http.get(f"{API}/images").json()["data"]) == 1


def test_an_idempotency_key_makes_one_job(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        headers = {"Idempotency-Key": "order-1"}
        once = [world.http.post(f"{API}/jobs", json=CALL, headers=headers) for _ in range(3)]
        assert {answer.status_code for answer in once} == {202}
        assert len({answer.json()["id"] for answer in once}) == 1
        for other in ({"seed": 8}, {"priority": 1}, {"deadline_s": 9.0}, {"n": 2}):
            answer = world.http.post(f"{API}/jobs", json=CALL | other, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                *(409, "idempotency_conflict"),
            )
        assert len(world.http.get(f"{API}/jobs").json()["jobs"]) == 1


def test_a_repeat_is_the_same_call_whatever_the_server_chooses_for_it_by_then(
    tmp_path: Path,
) -> None:
    call = {"prompt": "a red apple", "preset": "mine"}
    with world_of(tmp_path) as world:
        world.http.put(f"{API}/presets/mine", json={"values": {"guidance": 1.5}}).raise_for_status()
        headers = {"Idempotency-Key": "order-1"}
        first = world.http.post(f"{API}/jobs", json=call, headers=headers).raise_for_status()
        settings = {"metadata": "full", "steps_range": "2-3"}
        world.http.patch(f"{API}/settings", json=settings).raise_for_status()
        world.http.put(f"{API}/presets/mine", json={"values": {"steps": 3}}).raise_for_status()
        again = world.http.post(f"{API}/jobs", json=call, headers=headers)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


WRONG: tuple[tuple[dict[str, Any], str | None, str], ...] = (
    ({"colour": "red"}, "colour", "unknown_parameter"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"n": 11}, "n", "invalid_value"),
    ({"n": 9}, "n", "invalid_value"),  # the queue holds 8
    ({"width": 65}, None, "invalid_value"),
    ({"prompt": "word " * 600}, None, "prompt_too_long"),  # tokens, counted before the 202
    ({"priority": 11}, "priority", "invalid_value"),
    ({"deadline_s": 0}, "deadline_s", "invalid_value"),
    ({"preset": "none"}, None, "invalid_value"),
)


def test_what_is_wrong_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    with world_of(tmp_path, settings=Settings(max_queue=8)) as world:
        for call, param, code in WRONG:
            answer = world.http.post(f"{API}/jobs", json=CALL | call)
            assert answer.status_code == 400, call
            error = answer.json()["error"]
            assert (error["param"], error["code"]) == (param, code)
        for header in ({"Idempotency-Key": "a b"}, {"Idempotency-Key": "x" * 201}):
            assert world.http.post(f"{API}/jobs", json=CALL, headers=header).status_code == 400
        bad = {"Last-Event-ID": "first"}
        assert world.http.get(f"{API}/events", headers=bad).status_code == 400
        assert world.http.get(f"{API}/jobs", params={"cursor": "nonsense"}).status_code == 400
        assert world.http.get(f"{API}/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("OPTIONS", "/jobs", "HEAD, GET, POST"),
        ("PUT", "/images/0123", "HEAD, GET, PATCH, DELETE"),
        ("GET", "/jobs/cancel/", None),  # no address
        ("HEAD", "/inspect", "POST"),
    ],
)
def test_a_405_names_all_methods_of_its_address(
    tmp_path: Path, method: str, path: str, allow: str | None
) -> None:
    with world_of(tmp_path) as world:
        answer = world.http.request(method, f"{API}{path}")
    assert (answer.status_code, answer.headers.get("allow")) == (405 if allow else 404, allow)


def test_one_line_bounds_jobs_and_calls_together(tmp_path: Path) -> None:
    runner = FakeRunner(step_s=0.05, slots=1)
    with world_of(tmp_path, runner, settings=Settings(max_queue=3)) as world:
        ids = [world.post(steps=100, n=3)["id"]]
        answer = world.http.post(f"{API}/jobs", json=CALL)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        openai = {"prompt": "a", "size": "64x64"}
        assert world.http.post("/v1/images/generations", json=openai).status_code == 429
        cancelled = world.http.post(f"{API}/jobs/cancel")
        assert cancelled.json() == {"cancelled": 1}
        assert world.wait(ids[0])["state"] == "cancelled"
        until(lambda: world.running.metric("mezzotint_images_in_progress") == 0)
        assert world.http.post("/v1/images/generations", json=openai).status_code == 200
        assert world.running.metric("mezzotint_images_total") == 1
        assert world.running.metric('mezzotint_jobs_total{outcome="cancelled"}') == 1


def test_a_running_and_a_waiting_job_are_cancelled_and_a_done_one_is_not(tmp_path: Path) -> None:
    runner = FakeRunner(step_s=0.05)
    opened = Served(runner, count_tokens, capacity=Capacity(1))
    with world_of(tmp_path, runner, load=lambda: opened) as world:
        running, waiting = world.post(steps=100)["id"], world.post(steps=100)["id"]
        world.wait(running, "running")
        until(lambda: (world.job(running)["progress"] or {"step": 0})["step"] >= 2)
        progress = world.job(running)["progress"]
        assert (progress["index"], progress["steps"]) == (0, 100)
        assert (world.job(waiting)["state"], world.job(waiting)["position"]) == ("queued", 1)
        assert world.http.delete(f"{API}/jobs/{running}").json()["error"]["code"] == "job_not_over"
        for id in (waiting, running):
            assert world.http.post(f"{API}/jobs/{id}/cancel").status_code == 200
            assert world.wait(id)["state"] == "cancelled"
        done = world.post()["id"]
        world.wait(done)
        assert world.http.post(f"{API}/jobs/{done}/cancel").json()["state"] == "done"
        assert world.http.post(f"{API}/jobs/none/cancel").status_code == 404


def test_a_failed_job_says_why_and_nothing_of_our_insides(tmp_path: Path) -> None:
    runner = FakeRunner(error=ResourceError("memory ran out; ask for a smaller size"))
    with world_of(tmp_path, runner) as world:
        job = world.wait(world.post()["id"])
        assert (job["state"], job["error"]) == ("failed", "memory ran out; ask for a smaller size")
        listed = world.http.get(f"{API}/jobs", params={"state": "failed"}).json()["jobs"]
        assert [each["id"] for each in listed] == [job["id"]]
        for defect in (ValueError("at /secret/place"), WorkerError("KeyError: /secret/place")):
            runner.error = defect
            job = world.wait(world.post()["id"])
            assert job["state"] == "failed"
            assert "secret" not in job["error"]
            assert job["id"] in job["error"]


def test_jobs_are_taken_while_the_weights_load(tmp_path: Path) -> None:
    loaded = threading.Event()

    class Slow(FakeRunner):
        @property
        def provenance(self) -> Any:  # type: ignore[override]
            loaded.wait(LIMIT_S)
            return FakeRunner.provenance

    with world_of(tmp_path, Slow(), wait=False) as world:
        until(lambda: world.http.post(f"{API}/jobs", json=CALL).status_code == 202)
        assert world.http.get("/ready").json()["status"] == "loading"
        (job,) = world.http.get(f"{API}/jobs").json()["jobs"]
        until(lambda: world.job(job["id"])["position"] == 1)  # it enters the line once it is stored
        assert world.job(job["id"])["state"] == "queued"
        assert world.http.post("/v1/images/generations", json={"prompt": "a"}).status_code == 503
        loaded.set()
        assert world.wait(job["id"])["state"] == "done"


def test_a_query_that_is_not_known_is_no_filter_that_was_heard(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        for path, name in (
            ("/images?stared=true", "stared"),
            ("/jobs?state=done&limits=3", "limits"),
            ("/stats?a=1", "a"),
        ):
            answer = world.http.get(f"{API}{path}")
            error = answer.json()["error"]
            found = (answer.status_code, error["code"], error["param"])
            assert found == (400, "unknown_parameter", name)
        assert world.http.get(f"{API}/images?starred=true&limit=3").status_code == 200
        assert world.http.get("/v1/models?api-version=2026-01-01").status_code == 200


def test_jobs_are_refused_where_none_would_ever_be_made(tmp_path: Path) -> None:
    state = "ready"
    runner = FakeRunner()
    opened = Served(runner, count_tokens, state=lambda: state)  # type: ignore[arg-type,return-value]
    with world_of(tmp_path, runner, load=lambda: opened) as world:
        done = world.wait(world.post()["id"])["id"]
        state = "failed"
        answer = world.http.post(f"{API}/jobs", json=CALL)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
        assert world.job(done)["state"] == "done"  # what is kept can be read


def test_a_stream_tells_all_that_happens_and_a_cut_one_goes_on(tmp_path: Path) -> None:
    with world_of(tmp_path, FakeRunner(step_s=0.02)) as world:
        with listening(world.http) as events:
            first = next(events)
            assert (first.name, first.data) == ("snapshot", {"jobs": [], "complete": True})
            id = world.post(steps=4)["id"]
            seen = [next(events) for _ in range(4)]  # and the client is cut off
        job = world.wait(id)
        with listening(world.http, since=seen[-1].id) as events:
            while seen[-1].name != "done":
                seen.append(next(events))
        assert [event.name for event in seen if event.name != "queued"] == [
            *("started", *["progress"] * 4, "image", "done"),
        ]
        assert [event.id for event in seen] == sorted({event.id for event in seen})
        assert {event.data["job_id"] for event in seen} == {id}
        assert (seen[0].name, seen[0].data["position"]) == ("queued", 1)
        steps = [event.data for event in seen if event.name == "progress"]
        assert [(each["index"], each["step"], each["steps"]) for each in steps] == [
            (0, step, 4) for step in range(1, 5)
        ]
        previews = [each.get("preview") for each in steps]
        assert previews[0]["mime"] == "image/webp"
        assert previews[0]["b64"].startswith("UklGR")  # RIFF
        assert previews[-1] is None
        assert seen[-2].data["image"] == job["images"][0]


def test_a_stream_of_one_job_ends_with_it(tmp_path: Path) -> None:
    runner = FakeRunner(step_s=0.02)
    with world_of(tmp_path, runner) as world:
        other, id = world.post(steps=60)["id"], world.post(steps=10)["id"]
        path = f"{API}/jobs/{id}/events"
        with listening(world.http, path) as events:
            seen = list(events)
        assert seen[0].name == "snapshot"
        assert [job["id"] for job in seen[0].data["jobs"]] == [id]
        assert seen[-1].name == "done"
        assert {event.data["job_id"] for event in seen[1:]} == {id}
        with listening(world.http, path) as events:  # over already
            (only,) = events
        assert (only.name, only.data["jobs"][0]["state"]) == ("snapshot", "done")
        # A browser asks again when a stream ends; it must learn that it has seen all.
        saw = {"Last-Event-ID": str(seen[-1].id)}
        assert world.http.get(path, headers=saw).status_code == 204
        with listening(world.http, f"{path}?after={seen[-2].id}") as events:
            assert [event.name for event in events] == ["done"]
        assert world.http.get(f"{API}/jobs/none/events").status_code == 404
        world.http.post(f"{API}/jobs/{other}/cancel")


def test_after_a_gap_a_snapshot_says_what_ended_meanwhile(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        with listening(world.http) as events:
            last = next(events).id
        ended = world.post()["id"]
        world.wait(ended)
    with world_of(tmp_path, FakeRunner(step_s=0.05)) as world:  # another process knows no events
        waits = world.post(steps=100)["id"]
        with listening(world.http, since=last) as events:
            snapshot = next(events)
        assert snapshot.name == "snapshot"
        assert snapshot.id > last
        assert {job["id"] for job in snapshot.data["jobs"]} == {ended, waits}
        assert snapshot.data["complete"]
        with listening(world.http) as events:  # a new page: only what is not over
            assert [job["id"] for job in next(events).data["jobs"]] == [waits]
        world.http.post(f"{API}/jobs/cancel")


def test_an_id_from_the_future_begins_with_a_snapshot(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        ended = world.post()["id"]
        world.wait(ended)
        for since in (2**63 - 1, 10**19 - 1):  # beyond what the database's numbers hold, too
            with listening(world.http, since=since) as events:
                snapshot = next(events)
            assert (snapshot.name, snapshot.id < since) == ("snapshot", True)
            assert [job["id"] for job in snapshot.data["jobs"]] == [ended]


def test_open_streams_do_not_hold_the_server_up_and_jobs_go_on_after_it(tmp_path: Path) -> None:
    runner = FakeRunner(step_s=0.02)
    opened = Served(runner, count_tokens, capacity=Capacity(1))
    with world_of(tmp_path, runner, load=lambda: opened) as world:
        running, waiting = world.post(steps=40)["id"], world.post()["id"]
        world.wait(running, "running")
        with listening(world.http) as events:
            next(events)
            world.running.server.should_exit = True
            assert "done" not in [event.name for event in events]  # the stream ends first
            world.running.thread.join(15)
            assert not world.running.thread.is_alive()
    with world_of(tmp_path) as world:
        assert world.job(running)["state"] == "done"  # it was let finish
        assert world.wait(waiting)["state"] == "done"


def test_users_see_their_own_and_admins_all(tmp_path: Path) -> None:
    place = DataFolder(tmp_path)
    runner = FakeRunner(step_s=0.05)
    with Database(place.database) as database:
        tokens = [database.write(keys.add, name, "user", 1)[1] for name in ("ada", "bob")]
        ring = StoredKeys(database, FixedKeys(["k-admin"]))
        history = History(Gallery(database, place.files))
        with serving(runner, Settings(keys=ring), history=history, wait=False) as running:
            ada, bob, admin = (
                World(running, {"Authorization": f"Bearer {token}"})
                for token in (*tokens, "k-admin")
            )
            until(lambda: admin.http.get("/ready").status_code == 200)
            id = ada.post(steps=100)["id"]
            for path in ("", "/events", "/cancel"):
                method = "POST" if path == "/cancel" else "GET"
                answer = bob.http.request(method, f"{API}/jobs/{id}{path}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
            assert bob.http.delete(f"{API}/jobs/{id}").status_code == 404
            assert bob.http.post(f"{API}/jobs/cancel").json() == {"cancelled": 0}
            assert bob.http.get(f"{API}/jobs").json()["jobs"] == []
            assert [job["id"] for job in admin.http.get(f"{API}/jobs").json()["jobs"]] == [id]
            with listening(bob.http) as theirs, listening(admin.http) as all_of_them:
                assert next(theirs).data["jobs"] == []
                assert [job["id"] for job in next(all_of_them).data["jobs"]] == [id]
                own = bob.post(steps=3)["id"]
                heard = [next(theirs) for _ in range(4)]
                assert {event.data["job_id"] for event in heard} == {own}
                until(lambda: next(all_of_them).data["job_id"] == id)
            answer = ada.http.post(f"{API}/jobs", json=CALL | {"priority": 1})
            assert (answer.status_code, answer.json()["error"]["param"]) == (403, "priority")
            openai = {"prompt": "a", "size": "64x64", "priority": 1}
            assert bob.http.post("/v1/images/generations", json=openai).status_code == 403
            assert admin.post(priority=3)["request"]["priority"] == 3
            assert admin.http.post(f"{API}/jobs/{id}/cancel").status_code == 200
            assert ada.wait(id)["state"] == "cancelled"
        ring.close()


def test_a_stream_that_is_cut_again_and_again_tells_everything_once(tmp_path: Path) -> None:
    rng = random.Random(3)
    with world_of(tmp_path, FakeRunner(step_s=0.003)) as world:
        with listening(world.http) as events:
            last = next(events).id
        ids = [world.post(n=2, seed=10 * i)["id"] for i in range(12)]
        seen: list[Event] = []
        while len([event for event in seen if event.name == "done"]) < len(ids):
            with listening(world.http, since=last) as events:
                for _ in range(rng.randint(1, 9)):
                    seen.append(next(events))
                    last = seen[-1].id
                    if [event.name for event in seen].count("done") == len(ids):
                        break
        assert "snapshot" not in [event.name for event in seen]
        for id in ids:
            own = [event.name for event in seen if event.data["job_id"] == id]
            assert own[-1] == "done"
            assert (own.count("started"), own.count("image")) == (1, 2)
            assert own.count("progress") <= 4


def test_a_stream_ends_when_its_key_is_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_events, "ALLOWED_S", 0.0)
    place = DataFolder(tmp_path)
    with Database(place.database) as database:
        key, token = database.write(keys.add, "ada", "user", 1)
        ring = StoredKeys(database, FixedKeys(["k-admin"]))
        history = History(Gallery(database, place.files))
        runner = FakeRunner(step_s=0.05)
        with serving(runner, Settings(keys=ring), history=history, wait=False) as running:
            ada = World(running, {"Authorization": f"Bearer {token}"})
            until(lambda: ada.http.post(f"{API}/jobs", json=CALL).status_code == 202)
            ada.post(steps=40)
            with listening(ada.http) as told:
                until(lambda: next(told).name == "progress")
                database.write(keys.revoke, key.id, 2)
                assert "done" not in [event.name for event in told]  # it ends before its job
        ring.close()


def test_the_ring_is_bounded_and_knows_what_it_lost() -> None:
    now = 1_000_000
    hub = Hub(max_events=3, max_bytes=10, now_us=lambda: now)
    everything, start = Scope(None), hub.last
    for name in ("a", "b"):
        hub.tell(name, b"xx", key_id="k", job_id=name)
    told, last = hub.after(start, everything) or ([], 0)
    assert [each.name for each in told] == ["a", "b"]
    assert [each.id for each in told] == [1_000_001, 1_000_002]
    assert hub.after(last, everything) == ([], last)
    hub.tell("warning", b"xx")
    assert [each.name for each in (hub.after(start, Scope("other")) or ([],))[0]] == ["warning"]
    assert [each.name for each in (hub.after(start, Scope("k", "b")) or ([],))[0]] == ["b"]
    now = 2_000_000
    hub.tell("c", b"xx")  # the fourth: the first is dropped
    assert hub.last == 2_000_000
    assert hub.after(start, everything) is None
    assert len((hub.after(1_000_001, everything) or ([],))[0]) == 3
    now = 5  # a clock that was set back
    hub.tell("d", b"x" * 9)  # and bytes: only it is left
    assert hub.last == 2_000_001
    assert hub.after(1_000_003, everything) is None
    assert [each.name for each in (hub.after(2_000_000, everything) or ([],))[0]] == ["d"]
    assert hub.after(hub.last + 1, everything) is None  # of another server


def test_a_request_in_the_stats_leads_to_its_picture_and_counts_its_time_in_line(
    tmp_path: Path,
) -> None:
    with world_of(tmp_path, FakeRunner(step_s=0.02, slots=1)) as world:
        job = world.post(n=3)
        world.wait(job["id"])
        until(lambda: len(world.http.get(f"{API}/stats/history").json()["pictures"]) == 3)
        pictures = world.http.get(f"{API}/stats/history").json()["pictures"]
        found = {
            world.http.get(f"{API}/stats/requests/{each['request']}").json()["image_id"]
            for each in pictures
        }
        assert found == {image["id"] for image in world.job(job["id"])["images"]}
        assert world.http.get(f"{API}/stats/requests/999").status_code == 404
        for each in pictures:
            assert abs(sum(each["stages_ms"].values()) / each["total_ms"] - 1) < 0.05
        came = [each["submitted_s"] for each in pictures]
        assert max(came) - min(came) < 0.01  # together, though they started one by one


def test_other_keys_pictures_are_not_to_be_found(tmp_path: Path) -> None:
    place = DataFolder(tmp_path)
    with Database(place.database) as database:
        tokens = [database.write(keys.add, name, "user", 1)[1] for name in ("ada", "bob")]
        ring = StoredKeys(database, FixedKeys(["k-admin"]))
        history = History(Gallery(database, place.files))
        with serving(settings=Settings(keys=ring), history=history, wait=False) as running:
            ada, bob, admin = (
                World(running, {"Authorization": f"Bearer {token}"})
                for token in (*tokens, "k-admin")
            )
            until(lambda: admin.http.get("/ready").status_code == 200)
            ada.wait(ada.post()["id"])
            stats = f"{API}/stats/history"
            until(lambda: admin.http.get(stats).json()["pictures"] != [])
            (picture,) = admin.http.get(stats).json()["pictures"]
            path = f"{API}/stats/requests/{picture['request']}"
            statuses = [world.http.get(path).status_code for world in (ada, bob, admin)]
            assert statuses == [200, 404, 200]
        ring.close()


def test_the_stats_say_which_steps_were_asked_and_given(tmp_path: Path) -> None:
    with world_of(tmp_path, FakeRunner(step_s=0.005)) as world:
        job = world.wait(world.post(steps={"min": 3, "max": 9})["id"])
        assert job["state"] == "done"
        until(lambda: world.http.get(f"{API}/stats/history").json()["pictures"] != [])
        (picture,) = world.http.get(f"{API}/stats/history").json()["pictures"]
        assert picture["asked_steps"] == [3, 9]
        assert 3 <= picture["steps"] <= 9
