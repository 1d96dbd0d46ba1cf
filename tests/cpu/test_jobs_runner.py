"""Jobs run to their end: files and rows together, cancel, restarts, trouble with the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import SPEC, FakeConfig, FakeEngine, config, file_bytes
from PIL import Image as Pillow

from mezzotint.engine.capacity import Capacity
from mezzotint.engine.runner import Runner
from mezzotint.jobs import images, store
from mezzotint.jobs.database import Database
from mezzotint.jobs.dispatch import Dispatcher, Supply
from mezzotint.jobs.event import JobEvent
from mezzotint.jobs.files import THUMBNAIL_SIDE, Files, file_name, image_id
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.order import Order
from mezzotint.jobs.place import DataFolder
from mezzotint.jobs.retention import Rules, sweep
from mezzotint.jobs.room import QueueFullError
from mezzotint.jobs.runner import JobPolicy, JobRunner
from mezzotint.jobs.store import ConflictError, Job, NewJob
from mezzotint.types import Cancelled, Recipe, Request, RequestError, ResourceError
from mezzotint.workers.pace import Policy
from mezzotint.workers.pool import Pool
from mezzotint.workers.spawn import Launch

WAIT = 60.0
NOW_US = 1_790_000_000_000_000
DAY = datetime.fromtimestamp(NOW_US / 1e6, UTC).date().isoformat()


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    folder = DataFolder(tmp_path / "data")
    with Database(folder.database) as database:
        yield Gallery(database, folder.files)


class Bench:
    """A JobRunner over a fake engine, and the events it told."""

    def __init__(
        self, gallery: Gallery, step_s: float, policy: JobPolicy, bound: int, capacity: int
    ) -> None:
        self.gallery = gallery
        self.events: list[JobEvent] = []
        self.engine = FakeEngine(FakeConfig(step_s=step_s))
        self.ready = True
        self.line = line_of(self.engine, bound, capacity, lambda: self.ready)
        self.now_us = NOW_US
        self.jobs = JobRunner(
            gallery, self.line, self.events.append, policy, now_us=lambda: self.now_us
        )

    def submit(self, prompt: str = "a red apple", n: int = 1, **choices: Any) -> Job:
        job_choices = {
            name: choices.pop(name)
            for name in ("key_id", "priority", "deadline_s", "idempotency_key")
            if name in choices
        }
        request = Request(prompt=prompt, **{"seed": 7, "steps": 2} | choices)
        return self.jobs.submit(Order(request, n), **job_choices)

    def job(self, id: str) -> Job:
        job = self.gallery.database.read(store.get, id)
        assert job is not None
        return job

    def wait(self, id: str, *states: str) -> Job:
        wait_for(lambda: self.job(id).state in (states or ("done",)))
        return self.job(id)

    def kinds(self, id: str) -> list[str]:
        """Of a job's events, without progress and repeats (its place in the line changes)."""
        kinds = [e.kind for e in self.events if e.job and e.job.id == id and e.kind != "progress"]
        return [
            kind
            for i, kind in enumerate(kinds)
            if kinds[i - 1 : i] != ["queued"] or kind != "queued"
        ]


def line_of(
    runner: Runner, bound: int = 64, capacity: int = 16, ready: Callable[[], bool] = lambda: True
) -> Dispatcher:
    supply = Supply(runner=runner, count_tokens=len, capacity=Capacity(capacity), is_ready=ready)
    return Dispatcher(supply, lambda: bound)


@contextmanager
def bench_of(
    gallery: Gallery,
    step_s: float = 0.002,
    bound: int = 64,
    capacity: int = 16,
    drain_s: float = 0.0,
    **policy: Any,
) -> Iterator[Bench]:
    bench = Bench(gallery, step_s, JobPolicy(**{"retry_s": 0.05} | policy), bound, capacity)
    try:
        yield bench
    finally:
        bench.jobs.close(drain_s)
        bench.line.close()
        bench.engine.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def state(gallery: Gallery, id: str) -> str:
    job = gallery.database.read(store.get, id)
    assert job is not None
    return job.state


def recipe(seed: int = 7, prompt: str = "a red apple") -> Recipe:
    return Recipe(
        prompt=prompt,
        negative_prompt="",
        width=64,
        height=64,
        steps=2,
        guidance=0.0,
        guidance_rescale=0.0,
        guidance_truncation=1.0,
        seed=seed,
    )


def test_a_job_becomes_files_rows_and_thumbnails(gallery: Gallery) -> None:
    with bench_of(gallery) as bench:
        id = bench.submit(n=2, key_id="k").id
        job = bench.wait(id)
        wait_for(lambda: bench.kinds(id)[-1] == "done")
        stored = gallery.database.read(images.of_job, id)
        assert [(image.seed, image.key_id, image.prompt) for image in stored] == [
            (7, "k", "a red apple"),
            (8, "k", "a red apple"),
        ]
        for image in stored:
            data = gallery.files.path(image.file).read_bytes()
            assert data == file_bytes(recipe(image.seed))
            assert (image.bytes, image.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert image.file == f"{DAY}/a-red-apple-s{image.seed}-{image.id[:12]}.png"
            with Pillow.open(gallery.files.thumbnail(image.id)) as thumbnail:
                assert (thumbnail.format, thumbnail.size) == ("WEBP", (64, 64))
        assert sorted(bench.kinds(id)) == sorted(["queued", "started", "image", "image", "done"])
        assert (job.attempts, job.error) == (1, None)
        progress = [e for e in bench.events if e.kind == "progress" and e.index == 1]
        assert [e.progress.step for e in progress if e.progress][-2:] == [1, 2]


def test_a_job_that_shares_the_engine_starts_once(gallery: Gallery) -> None:
    with bench_of(gallery, capacity=1, step_s=0.02) as bench:
        ids = [bench.submit(n=3, key_id=key).id for key in "ab"]
        for id in ids:
            bench.wait(id)
            wait_for(lambda id=id: bench.kinds(id)[-1] == "done")  # type: ignore[misc]
            assert bench.kinds(id) == ["queued", "started", "image", "image", "image", "done"]
            assert bench.job(id).attempts == 1
        order = "".join(e.job.key_id for e in bench.events if e.kind == "image" and e.job)
        assert order.index("b") < order.rindex("a")  # they take turns


def test_a_random_seed_is_drawn_before_the_job_is_acknowledged(gallery: Gallery) -> None:
    with bench_of(gallery) as bench:
        first = bench.submit(seed=-1, idempotency_key="once")
        again = bench.submit(seed=-1, idempotency_key="once")
        assert first.id == again.id
        seed = first.order.request.seed
        assert seed is not None
        bench.wait(first.id)
        assert gallery.database.read(images.of_job, first.id)[0].seed == seed
        with pytest.raises(ConflictError):
            bench.submit(seed=3, idempotency_key="once")


def test_wrong_orders_are_refused_before_they_are_stored(gallery: Gallery) -> None:
    with bench_of(gallery) as bench:
        for wrong in ({"width": 65, "height": 64}, {"n": 0}, {"n": 101}, {"prompt": " "}):
            with pytest.raises(RequestError):
                bench.submit(**wrong)
        with pytest.raises(RequestError, match="seed"):
            bench.submit(n=2, seed=2**63 - 1)
        assert gallery.database.read(store.page).items == ()


def test_the_queue_is_bounded_and_so_is_what_runs(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.05, bound=3, capacity=1) as bench:
        running = bench.submit(steps=1000).id
        bench.wait(running, "running")
        waiting = [bench.submit(idempotency_key=key).id for key in ("a", "b")]
        with pytest.raises(QueueFullError, match="3 is its limit"):
            bench.submit()
        assert bench.submit(idempotency_key="b").id == waiting[1]  # a repeat is answered
        wait_for(lambda: len(bench.engine.tickets) == 1)
        time.sleep(0.05)
        assert len(bench.engine.tickets) == 1
        bench.jobs.cancel(running)
        for id in waiting:
            bench.wait(id)


def test_cancel_of_a_waiting_and_of_a_running_job(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.05, capacity=1) as bench:
        running, waiting = bench.submit(steps=1000).id, bench.submit().id
        bench.wait(running, "running")
        for id in (waiting, running):
            bench.jobs.cancel(id)
            assert bench.wait(id, "cancelled").finished_us == NOW_US
        bench.jobs.cancel("unknown")
        done = bench.submit().id
        bench.wait(done)
        bench.jobs.cancel(done)
        other = bench.submit().id
        bench.wait(other)
        assert bench.job(done).state == "done"
        assert gallery.database.read(images.of_job, running) == []


def test_a_failing_job_says_why_and_ends_no_other(gallery: Gallery) -> None:
    with bench_of(gallery) as bench:
        late, early, good = bench.submit("oom").id, bench.submit("x" * 1001).id, bench.submit().id
        assert "smaller size" in (bench.wait(late, "failed").error or "")
        assert "shorten" in (bench.wait(early, "failed").error or "")
        bench.wait(good)


def test_an_observer_that_breaks_ends_nothing(gallery: Gallery) -> None:
    def broken(_: JobEvent) -> None:
        raise ZeroDivisionError

    line = line_of(FakeEngine(FakeConfig()))
    jobs = JobRunner(gallery, line, broken)
    id = jobs.submit(Order(Request(prompt="a", seed=1))).id
    wait_for(lambda: state(gallery, id) == "done")
    jobs.close()
    line.close()
    assert len(gallery.database.read(images.of_job, id)) == 1


def test_what_runs_at_a_close_runs_at_the_next_start(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.2, capacity=1) as bench:
        running, waiting = bench.submit().id, bench.submit().id
        bench.wait(running, "running")
    assert (bench.job(running).state, bench.job(running).attempts) == ("queued", 0)
    with bench_of(gallery) as bench:
        for id in (running, waiting):
            bench.wait(id)


def test_what_runs_may_finish_at_a_close(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.1, capacity=1, drain_s=WAIT) as bench:
        running, waiting = bench.submit().id, bench.submit().id
        bench.wait(running, "running")
    assert (state(gallery, running), state(gallery, waiting)) == ("done", "queued")


def test_a_job_of_which_some_is_made_at_a_close_waits_for_the_rest(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.1, capacity=1, drain_s=WAIT) as bench:
        id = bench.submit(n=3).id
        wait_for(lambda: "image" in bench.kinds(id))
        with bench_of_closing(bench):
            assert state(gallery, id) == "queued"
    made = len(gallery.database.read(images.of_job, id))
    assert 1 <= made < 3
    with bench_of(gallery) as bench:
        bench.wait(id)
        assert len(bench.engine.tickets) == 3 - made


@contextmanager
def bench_of_closing(bench: Bench) -> Iterator[None]:
    bench.jobs.close(WAIT)
    with pytest.raises(Cancelled, match="closing"):
        bench.submit()
    yield


def test_jobs_wait_when_the_engine_gives_them_back(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.05) as bench:
        id = bench.submit(steps=1000).id
        wait_for(lambda: len(bench.engine.tickets) == 1)
        for ticket in list(bench.engine.tickets):
            ticket.cancel()  # by the engine, not by the owner
        wait_for(lambda: bench.kinds(id).count("started") == 2)
        assert bench.kinds(id) == ["queued", "started", "queued", "started"]
        assert (bench.job(id).state, bench.job(id).attempts) == ("running", 1)
        bench.jobs.cancel(id)
        bench.wait(id, "cancelled")


def test_a_broken_engine_fails_no_job_and_is_given_none(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.3, capacity=1) as bench:
        running, waiting = bench.submit("oom").id, bench.submit().id
        bench.wait(running, "running")
        bench.ready = False  # as a pool without any worker left, whose error ends what it holds
        wait_for(lambda: bench.job(running).state == "queued")
        time.sleep(0.2)
        assert (state(gallery, waiting), len(bench.engine.tickets)) == ("queued", 1)
        bench.ready = True
        assert "smaller size" in (bench.wait(running, "failed").error or "")
        bench.wait(waiting)


def test_a_deadline_ends_what_waits_and_what_runs(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.05, capacity=1) as bench:
        running = bench.submit(steps=1000, deadline_s=1.0).id
        bench.wait(running, "running")
        waiting = bench.submit(steps=1000, deadline_s=0.1).id
        fine = bench.submit(deadline_s=600).id
        for id in (waiting, running):
            assert "deadline" in (bench.wait(id, "failed").error or "")
        bench.wait(fine)
        assert len(bench.engine.tickets) == 2
    with bench_of(gallery) as bench:
        late = bench.submit(deadline_s=5, steps=1000, idempotency_key="a").id
        assert bench.job(late).deadline_us == NOW_US + 5 * 10**6
        with pytest.raises(ConflictError):
            bench.submit(deadline_s=6, steps=1000, idempotency_key="a")
        with pytest.raises(ConflictError):
            bench.submit(deadline_s=5, steps=1000, priority=1, idempotency_key="a")


def test_positions_and_times_to_go_are_known_and_told(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.05, capacity=1) as bench:
        bench.wait(bench.submit(steps=4).id)
        ids = [bench.submit(steps=20, key_id="k").id for _ in range(3)]
        wait_for(
            lambda: (
                {id: live.position for id, live in bench.jobs.live().items()}
                == {ids[0]: None, ids[1]: 1, ids[2]: 2}
            )
        )
        live = bench.jobs.live()
        etas = [live[id].eta_s or 0.0 for id in ids]
        assert 0.3 < etas[0] < etas[1] < etas[2] < 30  # 1, 2 and 3 s on an idle machine
        bench.jobs.cancel(ids[0])
        wait_for(
            lambda: any(
                e.kind == "queued" and e.job and e.job.id == ids[2] and e.position == 1
                for e in bench.events
            )
        )


def test_a_re_run_makes_only_what_is_missing_and_the_same_files(gallery: Gallery) -> None:
    with bench_of(gallery) as bench:
        id = bench.submit(n=3).id
        bench.wait(id)
    before = {path: path.read_bytes() for path in gallery.files.outputs.rglob("*.png")}
    second = gallery.database.read(images.of_job, id)[1]
    gallery.database.write(images.remove, second.id)  # as if it had died between file and row
    with sqlite3.connect(gallery.database._file) as raw:
        raw.execute("UPDATE jobs SET state = 'running'")
    with bench_of(gallery) as bench:
        bench.now_us += 10**12  # days later
        bench.wait(id)
        assert [ticket.recipe.seed for ticket in bench.engine.tickets] == [8]
    after = {path: path.read_bytes() for path in gallery.files.outputs.rglob("*.png")}
    assert after == before
    assert len(gallery.database.read(images.of_job, id)) == 3


def test_a_full_disk_fails_the_job_and_leaves_nothing_behind(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mezzotint.jobs.files.os.fsync", full)
    with bench_of(gallery) as bench:
        id = bench.submit().id
        assert "No space left" in (bench.wait(id, "failed").error or "")
        (told,) = [record for record in caplog.records if record.__dict__.get("job") == id]
        assert "No space left" in (caplog.handler.format(told))  # the operator learns it too
        assert "image" not in bench.kinds(id)
        assert [path for path in gallery.files.outputs.rglob("*") if path.is_file()] == []
        monkeypatch.undo()
        bench.wait(bench.submit().id)


def test_a_history_that_is_locked_for_a_while_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = DataFolder(tmp_path)
    with Database(folder.database, busy_s=0.01) as database:
        gallery = Gallery(database, folder.files)
        with bench_of(gallery, step_s=0.05) as bench:
            id = bench.submit(steps=5).id
            bench.wait(id, "running")
            holder = sqlite3.connect(folder.database, isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            wait_for(lambda: any(e.kind == "warning" for e in bench.events))
            with pytest.raises(ResourceError, match="locked"):
                bench.submit()
            assert caplog.text.count("jobs wait for the history") == 1
            holder.execute("ROLLBACK")
            holder.close()
            assert "locked" in (bench.wait(id, "failed").error or "")  # its picture had no row
            bench.wait(bench.submit().id)


def fill(gallery: Gallery, count: int) -> list[images.StoredImage]:
    """Pictures of one ended job, a second apart, of 640 bytes each."""
    order = Order(Request(prompt="a red apple", seed=7), count)
    new = NewJob(order=order, fingerprint="")
    database = gallery.database
    job = database.write(store.create, new, id="job", now_us=NOW_US)
    database.write(store.end, "job", "done", NOW_US)
    engine = FakeEngine(FakeConfig(step_s=0))
    made = engine.submit(Request(prompt="a red apple", seed=7, steps=2)).result(WAIT)
    return [gallery.save(job, i, made, NOW_US + i * 10**6) for i in range(count)]


def left(gallery: Gallery) -> list[int]:
    page = gallery.database.read(images.page)
    files = [path for path in gallery.files.outputs.rglob("*") if path.is_file()]
    thumbnails = [path for path in gallery.files.thumbnails.rglob("*") if path.is_file()]
    assert len(page.items) == len(files) == len(thumbnails)
    return sorted(image.index for image in page.items)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(), [0, 1, 2, 3, 4]),
        (Rules(max_count=2), [0, 3, 4]),
        (Rules(max_bytes=1300), [0, 3, 4]),
        (Rules(max_age_s=1.5), [0, 3, 4]),
        (Rules(max_count=0), [0]),
        (Rules(max_count=3, max_age_s=0.5), [0, 4]),
    ],
)
def test_retention_spares_starred_pictures_and_deletes_the_oldest(
    gallery: Gallery, rules: Rules, expected: list[int]
) -> None:
    first = fill(gallery, 5)[0]
    gallery.database.write(images.set_starred, first.id, True)
    gone = sweep(gallery, rules, NOW_US + 4 * 10**6)
    assert left(gallery) == expected
    assert gone == 5 - len(expected)


def test_deleting_removes_row_file_and_thumbnail_and_can_be_repeated(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = fill(gallery, 2)
    monkeypatch.setattr(gallery.database, "write", _fail)
    with pytest.raises(ResourceError):
        gallery.delete(stored[0])
    monkeypatch.undo()
    assert gallery.database.read(images.get, stored[0].id) is not None  # the row went last
    gallery.delete(stored[0])
    assert left(gallery) == [1]
    assert gallery.delete_job("job")
    assert left(gallery) == []
    assert list(gallery.files.outputs.iterdir()) == []
    assert gallery.database.read(store.get, "job") is None
    assert not gallery.delete_job("job")


def _fail(*_: object) -> None:
    raise ResourceError("read-only")


def test_a_job_that_runs_is_not_deleted(gallery: Gallery) -> None:
    with bench_of(gallery, step_s=0.05) as bench:
        id = bench.submit(steps=1000).id
        assert not gallery.delete_job(id)
        bench.jobs.cancel(id)
        bench.wait(id, "cancelled")


def test_old_jobs_without_pictures_go_with_their_age(gallery: Gallery) -> None:
    fill(gallery, 1)
    sweep(gallery, Rules(max_age_s=5), NOW_US + 4 * 10**6)
    assert gallery.database.read(store.get, "job") is not None
    sweep(gallery, Rules(max_age_s=5), NOW_US + 60 * 10**6)
    assert gallery.database.read(store.get, "job") is None


def test_names_are_readable_and_safe() -> None:
    id = image_id("job", 0)
    assert id != image_id("job", 1)
    assert image_id("job", 0) == id
    for prompt, words in (
        ("桌上的 红苹果!", "桌上的-红苹果"),
        ("../../etc/passwd", "etc-passwd"),
        ("  \0/ ", "picture"),
        ("w" * 300, "w" * 48),
    ):
        assert file_name(recipe(prompt=prompt), id, "jpeg", NOW_US) == (
            f"{DAY}/{words}-s7-{id[:12]}.jpg"
        )


@pytest.mark.parametrize("name", ["../out.png", "/etc/passwd", "a/../../b"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    files = Files(tmp_path / "outputs", tmp_path / "thumbnails")
    with pytest.raises(ResourceError, match="leads out"):
        files.delete(name, "0" * 32)


def test_a_thumbnail_keeps_the_shape(tmp_path: Path) -> None:
    files = Files(tmp_path / "outputs", tmp_path / "thumbnails")
    files.write_thumbnail("ab", np.zeros((512, 1024, 3), np.uint8))
    with Pillow.open(files.thumbnail("ab")) as thumbnail:
        assert thumbnail.size == (THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)


def test_folders_that_come_and_go_lose_no_picture(tmp_path: Path) -> None:
    files = Files(tmp_path / "outputs", tmp_path / "thumbnails")
    stop = threading.Event()
    errors: list[ResourceError] = []

    def sweep_up() -> None:
        while not stop.is_set() and not errors:
            try:
                files.write("2026-01-01/other", b"x")
                files.delete("2026-01-01/other", "00")  # and the folder with it, where it is empty
            except ResourceError as error:
                errors.append(error)

    thread = threading.Thread(target=sweep_up)
    thread.start()
    for i in range(60):
        files.write(f"2026-01-01/{i}", b"y")
        assert files.path(f"2026-01-01/{i}").read_bytes() == b"y"
        files.delete(f"2026-01-01/{i}", "00")
    stop.set()
    thread.join(WAIT)
    assert errors == []


def test_pictures_are_their_owners_alone_in_a_folder_that_others_may_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    files = DataFolder(tmp_path).files
    files.write("2026-01-01/a-secret-s1-00.png", b"picture")
    files.write_thumbnail("00", np.zeros((8, 8, 3), np.uint8))
    for folder in (files.outputs, files.thumbnails):
        assert folder.stat().st_mode & 0o077 == 0


def test_one_server_uses_a_data_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        another = DataFolder(folder.path).locked()
        with pytest.raises(ResourceError, match="another server"):
            another.__enter__()
    with folder.locked():
        assert folder.path.stat().st_mode & 0o077 == 0
        assert (folder.path / "server.lock").stat().st_mode & 0o077 == 0  # nobody else may hold it


SERVER = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
from pathlib import Path
import threading
from fake_engine import FakeConfig, FakeEngine
from mezzotint.engine.capacity import Capacity
from mezzotint.jobs.database import Database
from mezzotint.jobs.dispatch import Dispatcher, Supply
from mezzotint.jobs.gallery import Gallery
from mezzotint.jobs.order import Order
from mezzotint.jobs.place import DataFolder
from mezzotint.jobs.runner import JobPolicy, JobRunner
from mezzotint.types import Request
folder, seed = DataFolder(Path(sys.argv[1])), int(sys.argv[2])
gallery = Gallery(Database(folder.database), folder.files)
policy = JobPolicy(max_attempts=10**6)
engine = FakeEngine(FakeConfig(step_s=0.005))
supply = Supply(runner=engine, count_tokens=len, capacity=Capacity(16))
jobs = JobRunner(gallery, Dispatcher(supply, lambda: 10**6), policy=policy)
for i in range(seed, seed + 3):
    print(jobs.submit(Order(Request(prompt="a red apple", seed=i * 2, steps=2), 2)).id, flush=True)
threading.Event().wait()
"""


def test_every_acknowledged_job_is_made_though_the_server_is_killed_again_and_again(
    gallery: Gallery, tmp_path: Path
) -> None:
    rng = random.Random(2)
    acknowledged: list[str] = []
    for round in range(6):
        command = [sys.executable, "-c", SERVER, str(tmp_path / "data"), str(round * 3)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(1, 3)):
                acknowledged.append(process.stdout.readline().strip())
            time.sleep(rng.random() * 0.05)
            process.kill()
            acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    (gallery.files.outputs / DAY).mkdir(parents=True, exist_ok=True)
    (gallery.files.outputs / DAY / ".mezzotint-unfinished-1").touch()  # a kill while it wrote
    with bench_of(gallery, max_attempts=10**6) as bench:
        for id in acknowledged:
            bench.wait(id)
        wait_for(lambda: not gallery.database.read(store.page, states=("queued", "running")).items)
    rows = gallery.database.read(images.page, limit=500).items
    assert {row.job_id for row in rows} >= set(acknowledged)
    names = {row.file for row in rows}
    for row in rows:
        data = gallery.files.path(row.file).read_bytes()
        assert (data, hashlib.sha256(data).hexdigest()) == (
            file_bytes(recipe(row.seed)),
            row.sha256,
        )
    found = [path for path in gallery.files.outputs.rglob("*") if path.is_file()]
    whole = {str(path.relative_to(gallery.files.outputs)) for path in found}
    assert whole == names  # whatever was written by a killed server was met again by the next


def test_a_backup_of_a_running_server_is_whole(gallery: Gallery, tmp_path: Path) -> None:
    """As docs/api.md says: the database by SQLite's own backup, then the folders."""
    copy = DataFolder(tmp_path / "copy")
    copy.path.mkdir()
    with bench_of(gallery) as bench:
        ids = [bench.submit(n=4, seed=10 * i).id for i in range(10)]
        wait_for(lambda: "image" in bench.kinds(ids[1]))
        with sqlite3.connect(gallery.database._file) as live, sqlite3.connect(copy.database) as to:
            live.backup(to)
        for folder in ("outputs", "thumbnails"):
            unfinished = shutil.ignore_patterns(".mezzotint-unfinished-*")
            shutil.copytree(tmp_path / "data" / folder, copy.path / folder, ignore=unfinished)
        for id in ids:
            bench.wait(id)
    with Database(copy.database) as database:
        restored = Gallery(database, copy.files)
        rows = database.read(images.page, limit=500).items
        assert rows
        for row in rows:
            data = copy.files.path(row.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row.sha256
            assert copy.files.thumbnail(row.id).exists()
        with bench_of(restored) as bench:  # and what was not made yet is made from the copy
            for id in ids:
                bench.wait(id)
                assert len(database.read(images.of_job, id)) == 4


def test_a_killed_worker_costs_a_job_nothing(gallery: Gallery) -> None:
    program = (str(Path(__file__).parents[1] / "fake_engine.py"),)
    launch = Launch(config=config(step_s=0.05), program=program)
    with Pool(SPEC, [launch], Policy(backoff_s=0.01)) as pool:
        line = line_of(pool)
        jobs = JobRunner(gallery, line)
        id = jobs.submit(Order(Request(prompt="a red apple", seed=7, steps=6), 3)).id
        wait_for(lambda: pool.stats().running == 3)
        pool._workers[0].kill("was killed by a test")
        wait_for(lambda: state(gallery, id) == "done")
        jobs.close()
        line.close()
    assert [image.seed for image in gallery.database.read(images.of_job, id)] == [7, 8, 9]


def test_a_pool_that_is_lost_for_good_fails_no_job(gallery: Gallery, tmp_path: Path) -> None:
    program = (str(Path(__file__).parents[1] / "fake_engine.py"),)
    folder = tmp_path / "faults"
    folder.mkdir()
    marks = [folder / f"load-{i}" for i in range(3)]  # it loads well once there were three faults
    values = {"step_s": 0.05, "folder": str(folder), "load_fault": "refuse", "load_faults": 3}
    launch = Launch(config=config(**values), program=program)
    policy = Policy(backoff_s=0.01, max_backoff_s=0.02)

    @contextmanager
    def server() -> Iterator[tuple[Pool, JobRunner]]:
        for mark in marks:
            mark.touch()
        with Pool(SPEC, [launch], policy) as pool:
            wait_for(lambda: pool.state == "ready")
            line = line_of(pool, capacity=1, ready=lambda: pool.state in ("ready", "restarting"))
            jobs = JobRunner(gallery, line)
            yield pool, jobs
            jobs.close()
            line.close()

    with server() as (pool, jobs):
        for mark in marks:
            mark.unlink()
        fatal = jobs.submit(Order(Request(prompt="die once mark", seed=1))).id
        other = jobs.submit(Order(Request(prompt="a red apple", seed=2))).id
        wait_for(lambda: pool.state == "failed")
        wait_for(lambda: state(gallery, fatal) == "queued")
        assert state(gallery, other) == "queued"
    with server():
        for id in (fatal, other):
            wait_for(lambda id=id: state(gallery, id) == "done")  # type: ignore[misc]


def test_nothing_leaks_over_many_jobs(gallery: Gallery) -> None:
    with bench_of(gallery) as bench:
        bench.wait(bench.submit().id)
        before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
        for _ in range(30):
            bench.wait(bench.submit().id)
        wait_for(lambda: threading.active_count() <= before[0])
        assert len(list(Path("/proc/self/fd").iterdir())) <= before[1] + 2  # SQLite's readers
        assert (bench.jobs._open, bench.line.pending) == ({}, 0)
