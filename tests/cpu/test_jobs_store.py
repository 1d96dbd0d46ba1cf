"""The durable store: what was acknowledged is there, whatever happens."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, select

from mezzotint.jobs import images, keys, presets, store
from mezzotint.jobs import settings as stored_settings
from mezzotint.jobs.database import Database
from mezzotint.jobs.images import StoredImage
from mezzotint.jobs.migrate import NEWEST, migrate, revision
from mezzotint.jobs.order import Order, fingerprint, from_json, requests_of, to_json
from mezzotint.jobs.paging import MAX_PAGE
from mezzotint.jobs.schema import images as images_table
from mezzotint.jobs.schema import metadata
from mezzotint.jobs.store import ConflictError, NewJob
from mezzotint.types import Request, RequestError, ResourceError

ORDER = Order(Request(prompt="a red apple", seed=5, guidance=1.5), 2)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and nothing in them, to be copied."""
    file = tmp_path_factory.mktemp("history") / "empty.sqlite3"
    Database(file).close()
    return file


@pytest.fixture
def database(empty: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(empty, tmp_path / "history.sqlite3")
    with Database(tmp_path / "history.sqlite3") as database:
        yield database


def new_job(order: Order = ORDER, **choices: Any) -> NewJob:
    return NewJob(order=order, fingerprint=fingerprint(order), **choices)


def create(database: Database, id: str, now_us: int = 1, new: NewJob | None = None) -> store.Job:
    return database.write(store.create, new or new_job(), id=id, now_us=now_us)


def picture(id: str, job_id: str = "job", created_us: int = 1, **choices: Any) -> StoredImage:
    values: dict[str, Any] = {
        "index": int(id) if id.isdigit() else 0,
        "key_id": "",
        "seed": 2**63 - 1,
        "width": 64,
        "height": 64,
        "format": "png",
        "bytes": 100,
        "sha256": "0" * 64,
        "file": f"2026-01-01/{id}.png",
        "prompt": "a red apple",
        "starred": False,
    }
    return StoredImage(id=id, job_id=job_id, created_us=created_us, **values | choices)


def test_a_job_comes_back_as_it_was_and_moves_through_its_states(database: Database) -> None:
    job = create(database, "a", 10, new_job(key_id="k", priority=3))
    assert (job.order, job.state, job.priority, job.attempts) == (ORDER, "queued", 3, 0)
    assert database.read(store.get, "a") == job
    assert database.read(store.get, "a", "k") == job
    assert database.read(store.get, "a", "other") is None
    assert database.write(store.start, "a", 11)
    assert not database.write(store.start, "a", 12)
    assert database.write(store.end, "a", "failed", 13, "x" * 9999)
    assert not database.write(store.end, "a", "done", 14)
    ended = database.read(store.get, "a")
    assert ended is not None
    assert (ended.state, ended.started_us, ended.finished_us) == ("failed", 11, 13)
    assert (ended.error, ended.attempts) == ("x" * store.MAX_ERROR, 1)
    assert database.write(store.remove, "a")
    assert database.read(store.get, "a") is None


def test_an_order_is_stored_whole_and_needs_its_seed() -> None:
    assert from_json(to_json(ORDER)) == ORDER
    assert [request.seed for request in requests_of(ORDER)] == [5, 6]
    with pytest.raises(ValueError, match="drawn"):
        requests_of(Order(Request(prompt="a")))


def test_an_idempotency_key_makes_one_job_a_key(database: Database) -> None:
    first = create(database, "a", new=new_job(idempotency_key="once"))
    assert create(database, "b", new=new_job(idempotency_key="once")) == first
    other = replace(ORDER, n=1)
    with pytest.raises(ConflictError, match="used before"):
        create(database, "b", new=new_job(other, idempotency_key="once"))
    assert create(database, "b", new=new_job(key_id="k", idempotency_key="once")).id == "b"
    assert create(database, "c").id == "c"
    assert create(database, "d").id == "d"  # without one, equal requests are two jobs


def test_recovery_queues_again_until_a_job_was_tried_too_often(database: Database) -> None:
    create(database, "a")
    create(database, "waits")
    for attempt in (1, 2):
        assert database.write(store.start, "a", 5)
        database.write(store.recover, 2, 9)
        job = database.read(store.get, "a")
        assert job is not None
        assert job.state == ("queued" if attempt == 1 else "interrupted")
    assert (job.finished_us, "2 times" in (job.error or "")) == (9, True)
    waits = database.read(store.get, "waits")
    assert waits is not None
    assert (waits.state, waits.attempts) == ("queued", 0)


def test_queued_jobs_come_by_age(database: Database) -> None:
    for id, at in (("late", 3), ("early", 1), ("later", 9)):
        create(database, id, at)
    database.write(store.start, "late", 10)
    assert [job.id for job in database.read(store.queued)] == ["early", "later"]


def test_jobs_that_are_not_over_or_ended_since(database: Database) -> None:
    for id, at in (("waits", 1), ("old", 2), ("new", 3)):
        create(database, id, at, new_job(key_id="k"))
    database.write(store.end, "old", "done", 50)
    database.write(store.end, "new", "failed", 70)

    def found(key_id: str | None, since_us: int | None, limit: int = 9) -> list[str]:
        jobs = database.read(store.open_or_ended, key_id, since_us, limit)
        return [job.id for job in jobs]

    assert found(None, 60) == ["waits", "new"]
    assert found("k", 0) == ["waits", "old", "new"]
    assert found("k", 0, limit=2) == ["old", "new"]
    assert found("other", 0) == []
    assert found(None, None) == ["waits"]
    assert database.read(store.open_ids, "k") == ["waits"]
    assert database.read(store.open_ids, "other") == []


def test_pages_are_stable_while_rows_are_added_and_removed(database: Database) -> None:
    create(database, "job")
    for i in range(25):
        database.write(images.add, picture(str(i), created_us=i // 2))
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = database.read(images.page, cursor=cursor, limit=7)
        seen += [image.id for image in page.items]
        cursor, pages = page.next, pages + 1
        database.write(images.add, picture(str(100 + pages), created_us=1000))
        database.write(images.remove, seen[0])
    expected = sorted(range(25), key=lambda i: (i // 2, str(i)), reverse=True)
    assert seen == [str(i) for i in expected]
    assert pages == 4


@pytest.mark.parametrize("cursor", ["", "!", "x" * 50, "MTIzNA", "LTE6YQ", "é", "a" * 9999])
def test_a_foreign_cursor_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(RequestError, match="cursor"):
        database.read(images.page, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
def test_a_page_has_bounds(database: Database, limit: int) -> None:
    with pytest.raises(RequestError, match="limit"):
        database.read(store.page, limit=limit)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", "0123"),
        ("苹果", "1"),
        ("果", "1"),
        ("红 桌", "1"),
        ("APPLE", "02"),
        ("apple red", "0"),
        ("100%", "2"),
        ("%", "2"),
        ("_", "3"),
        ("/", "3"),
        ("straße", "3"),
        ("STRASSE", "3"),
        ("ａｐｐｌｅ", "02"),
        ("pear", ""),
        ("' OR 1=1 --", ""),
    ],
)
def test_search_finds_words_in_any_script(database: Database, search: str, found: str) -> None:
    create(database, "job")
    prompts = ["a red apple", "桌上的红苹果", "100% Apple", "snake_case a/b Straße"]
    for i, prompt in enumerate(prompts):
        database.write(images.add, picture(str(i), prompt=prompt))
    page = database.read(images.page, search=search)
    assert {image.id for image in page.items} == set(found)
    assert all(image.prompt in prompts for image in page.items)


def test_search_has_a_length(database: Database) -> None:
    with pytest.raises(RequestError, match="at most 200"):
        database.read(images.page, search="a" * 201)


def test_pictures_are_their_owners_and_stars_can_be_listed(database: Database) -> None:
    create(database, "job")
    database.write(images.add, picture("0", key_id="k"))
    database.write(images.add, picture("1", key_id="other"))
    assert [i.id for i in database.read(images.page, key_id="k").items] == ["0"]
    assert database.read(images.get, "1", "k") is None
    assert database.write(images.set_starred, "1", True)
    assert not database.write(images.set_starred, "9", True)
    assert [i.id for i in database.read(images.page, starred=True).items] == ["1"]


def test_a_page_of_10000_pictures_takes_less_than_50_ms(database: Database) -> None:
    create(database, "job")

    def fill(connection: Connection) -> None:
        rows = [
            {**_row(picture(f"{i:05}", created_us=i)), "search": f"prompt {i} 红苹果"}
            for i in range(10_000)
        ]
        connection.execute(insert(images_table), rows)

    database.write(fill)
    cursor = database.read(images.page, limit=500).next
    for choices in (
        {},
        {"cursor": cursor},
        {"key_id": ""},
        {"search": "苹果"},
        {"search": "77 果"},
    ):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            assert len(database.read(images.page, **choices).items) == 50
            times.append(time.perf_counter() - start)
        assert min(times) < 0.05, choices


def _row(image: StoredImage) -> dict[str, Any]:
    return {name: getattr(image, name) for name in StoredImage.__slots__}


def test_keys_are_shown_once_and_stored_hashed(database: Database) -> None:
    key, token = database.write(keys.add, "Ada", "admin", 1)
    other, other_token = database.write(keys.add, "Bob", "user", 2)
    assert token.startswith(f"mz_{key.id}_")
    assert len(token.split("_")[2]) == 64  # 256 bits
    with sqlite3.connect(database._file) as raw:
        assert token.split("_")[2] not in "\n".join(raw.iterdump())
    assert database.read(keys.verify, token) == key
    assert database.read(keys.verify, other_token) == other
    swapped = f"mz_{key.id}_{other_token.split('_')[2]}"
    for wrong in (
        token[:-1],
        token + "0",
        token.upper(),
        swapped,
        "",
        "mz__",
        "\ud800",
        "é",
        "a_b",
    ):
        assert database.read(keys.verify, wrong) is None
    assert database.write(keys.revoke, key.id, 3).revoked_us == 3
    assert database.write(keys.revoke, key.id, 4).revoked_us == 3
    assert database.read(keys.verify, token) is None
    assert [each.name for each in database.read(keys.list_keys)] == ["Ada", "Bob"]
    with pytest.raises(RequestError, match="keys list"):
        database.write(keys.revoke, "none", 5)


def test_a_key_is_compared_in_constant_time_even_when_there_is_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    _, token = database.write(keys.add, "Ada", "user", 1)
    assert database.read(keys.verify, token) is not None
    assert database.read(keys.verify, "mz_000000000000_" + "0" * 64) is None
    assert [len(a) == len(b) == 64 for a, b in compared] == [True, True]


def test_last_use_is_written_at_most_once_a_minute(database: Database) -> None:
    key, _ = database.write(keys.add, "Ada", "user", 0)
    used = []
    for second in (1, 30, 62):
        database.write(keys.note_use, key.id, second * 1_000_000)
        used += [database.read(keys.list_keys)[0].last_used_us]
    assert used == [1_000_000, 1_000_000, 62_000_000]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_a_keys_name_is_printable(database: Database, name: str) -> None:
    with pytest.raises(RequestError, match="name"):
        database.write(keys.add, name, "user", 1)


def test_presets_and_settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = presets.Choices(steps=4, negative_prompt="雨")
    first = database.write(presets.save, "k", "夜景", choices, id="p", now_us=1)
    again = database.write(presets.save, "k", "夜景", replace(choices, steps=8), id="q", now_us=2)
    assert (again.id, again.choices.steps, first.choices) == ("p", 8, choices)
    assert database.read(presets.list_presets, "k") == [again]
    assert database.read(presets.list_presets, "other") == []
    monkeypatch.setattr(presets, "MAX_PRESETS", 1)
    with pytest.raises(RequestError, match="limit"):
        database.write(presets.save, "k", "other", choices, id="r", now_us=3)
    assert not database.write(presets.remove, "other", "夜景")
    assert database.write(presets.remove, "k", "夜景")
    for value in (5, {"a": [1, None]}):
        database.write(stored_settings.put, "queue", value, 1)
        assert database.read(stored_settings.all_settings) == {"queue": value}


def test_a_write_that_breaks_leaves_nothing_behind(database: Database) -> None:
    def broken(connection: Connection) -> None:
        store.create(connection, new_job(), id="a", now_us=1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(broken)
    assert database.read(store.get, "a") is None
    assert create(database, "a").id == "a"


def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(ResourceError, match="readonly"):
        database.read(store.create, new_job(), id="a", now_us=1)


def test_threads_write_and_read_at_once(database: Database) -> None:
    def work(name: str) -> None:
        for i in range(10):
            create(database, f"{name}{i}")
            database.read(store.page)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read(store.count, "queued") == 40


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    with pytest.raises(ResourceError, match="closed"):
        create(database, "a")


def test_the_file_is_its_owners_alone(database: Database) -> None:
    assert database._file.stat().st_mode & 0o077 == 0


def test_a_locked_database_is_a_resource_error(database: Database) -> None:
    with Database(database._file, busy_s=0.05) as hasty:
        holder = sqlite3.connect(database._file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(ResourceError, match="locked"):
            create(hasty, "a")
        assert hasty.read(store.queued) == []  # reading goes on
        holder.execute("ROLLBACK")
        holder.close()
        assert create(hasty, "a").id == "a"


def test_a_full_disk_is_a_resource_error_and_goes_away_with_it(database: Database) -> None:
    create(database, "before")

    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    database.write(limit, 1)
    large = new_job(Order(Request(prompt="x" * 10**6, seed=1)))
    with pytest.raises(ResourceError, match="full"):
        create(database, "during", new=large)
    assert database.read(store.get, "during") is None
    assert database.read(store.get, "before") is not None
    database.write(limit, 10**6)
    create(database, "after")


def test_what_is_no_database_is_a_resource_error(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite3"
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(ResourceError, match=r"not a database\).*it from a backup"):
        Database(file)
    with pytest.raises(ResourceError, match="cannot be opened"):
        Database(file / "below" / "history.sqlite3")


def test_migrations_make_the_schema_that_the_code_uses(empty: Path) -> None:
    engine = create_engine(f"sqlite:///{empty}")
    with engine.connect() as connection:
        assert revision(connection) == NEWEST
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


# Rows as the first version wrote them.
FIRST_JOB = {
    "id": "old",
    "key_id": "",
    "state": "done",
    "request": to_json(ORDER),
    "fingerprint": "f",
    "priority": 0,
    "created_us": 1,
    "attempts": 1,
}
LATER = ("timings", "steps")  # columns of pictures that came with later versions
FIRST_IMAGE = {
    name: value for name, value in asdict(picture("0", job_id="old")).items() if name not in LATER
} | {"search": "a red apple"}


def _insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    found = Table(table, MetaData(), autoload_with=connection)
    connection.execute(insert(found).values(row))


def test_the_first_schema_is_upgraded_with_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite3"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        migrate(connection, "0001")
        _insert(connection, "jobs", FIRST_JOB)
        _insert(connection, "images", FIRST_IMAGE)
        _, token = keys.add(connection, "Ada", "user", 1)
    engine.dispose()
    with Database(file) as database:
        assert database.read(revision) == NEWEST
        job = database.read(store.get, "old")
        assert job is not None
        assert (job.order, job.deadline_us) == (ORDER, None)
        assert database.read(images.get, "0") == picture("0", job_id="old")
        assert database.read(keys.verify, token) is not None
        assert database.read(presets.list_presets, "") == []


def test_a_newer_schema_is_refused_untouched(empty: Path, tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite3"
    shutil.copy(empty, file)
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ResourceError, match="newer version"):
        Database(file)


WRITER = """
import sys
from pathlib import Path
from mezzotint.jobs import store
from mezzotint.jobs.database import Database
from mezzotint.jobs.order import Order
from mezzotint.jobs.store import NewJob
from mezzotint.types import Request
database, start = Database(Path(sys.argv[1])), int(sys.argv[2])
new = NewJob(order=Order(Request(prompt="x" * 3000, seed=1)), fingerprint="")
for i in range(start, start + 10**6):
    database.write(store.create, new, id=str(i), now_us=i)
    print(i, flush=True)
    if i % 3 == 0:
        database.write(store.start, str(i), i)
        print("started", i, flush=True)
"""


def test_every_acknowledged_job_survives_kill_9(empty: Path, tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite3"
    shutil.copy(empty, file)
    rng = random.Random(1)
    acknowledged: set[str] = set()
    started: set[str] = set()
    for round in range(20):
        command = [sys.executable, "-c", WRITER, str(file), str(round * 10**6)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(rng.randint(1, 12)):
                _note(process.stdout.readline(), acknowledged, started)
            time.sleep(rng.random() * 0.01)
            process.kill()
            for line in process.stdout:
                _note(line, acknowledged, started)
    with Database(file) as database:
        assert database.read(_integrity) == "ok"
        jobs = {id: database.read(store.get, id) for id in acknowledged}
        assert all(jobs.values())
        assert started <= {job.id for job in jobs.values() if job and job.state == "running"}
        database.write(store.recover, 3, 1)
        assert database.read(store.count, "running") == 0
    assert len(acknowledged) >= 20


def _note(line: str, acknowledged: set[str], started: set[str]) -> None:
    if line.endswith("\n"):  # a line that the kill cut was not said
        words = line.split()
        (started if words[0] == "started" else acknowledged).add(words[-1])


def _integrity(connection: Connection) -> str:
    return str(connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())


class StoreMachine(RuleBasedStateMachine):
    """The store against a dictionary, with crashes between."""

    template: Path
    folder: Path
    runs = 0

    @initialize()
    def open(self) -> None:
        StoreMachine.runs += 1
        self.file = self.folder / f"{self.runs}.sqlite3"
        shutil.copy(self.template, self.file)
        self.database = Database(self.file)
        self.model: dict[str, tuple[str, int]] = {}  # state, attempts
        self.idempotent: dict[str, str] = {}
        self.clock = 0

    def teardown(self) -> None:
        self.database.close()

    @rule(key=st.sampled_from([None, "i", "j"]))
    def create(self, key: str | None) -> None:
        self.clock += 1
        id = f"{self.clock}"
        job = create(self.database, id, self.clock, new_job(idempotency_key=key))
        expected = self.idempotent.get(key, id) if key else id
        assert job.id == expected
        if job.id == id:
            self.model[id] = ("queued", 0)
            if key:
                self.idempotent[key] = id

    @rule(pick=st.integers(0, 50))
    def start(self, pick: int) -> None:
        id = self._pick(pick)
        state, attempts = self.model.get(id, ("", 0))
        assert self.database.write(store.start, id, 1) == (state == "queued")
        if state == "queued":
            self.model[id] = ("running", attempts + 1)

    @rule(pick=st.integers(0, 50), end=st.sampled_from(["done", "failed", "cancelled"]))
    def end(self, pick: int, end: Any) -> None:
        id = self._pick(pick)
        state, attempts = self.model.get(id, ("", 0))
        assert self.database.write(store.end, id, end, 1) == (state in ("queued", "running"))
        if state in ("queued", "running"):
            self.model[id] = (end, attempts)

    @rule(pick=st.integers(0, 50))
    def remove(self, pick: int) -> None:
        id = self._pick(pick)
        ended = self.model.get(id, ("queued", 0))[0] not in ("queued", "running")
        assert self.database.write(store.remove, id) == ended
        if ended:
            del self.model[id]
            self.idempotent = {k: v for k, v in self.idempotent.items() if v != id}

    @rule()
    def crash(self) -> None:
        self.database.close()
        self.database = Database(self.file)
        self.database.write(store.recover, 2, 1)
        for id, (state, attempts) in self.model.items():
            if state == "running":
                self.model[id] = ("queued" if attempts < 2 else "interrupted", attempts)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        page = self.database.read(store.page, limit=MAX_PAGE)
        assert {job.id: (job.state, job.attempts) for job in page.items} == self.model
        assert [job.created_us for job in page.items] == sorted(
            (int(id) for id in self.model), reverse=True
        )

    def _pick(self, pick: int) -> str:
        ids = list(self.model)
        return ids[pick % len(ids)] if ids else "none"


def test_the_store_agrees_with_a_dictionary(empty: Path, tmp_path: Path) -> None:
    StoreMachine.template, StoreMachine.folder = empty, tmp_path
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_rows_of_images_need_their_job(database: Database) -> None:
    with pytest.raises(Exception, match="FOREIGN KEY"):
        database.write(images.add, picture("0", job_id="none"))
    create(database, "job")
    database.write(images.add, picture("0"))
    database.write(store.end, "job", "done", 1)
    assert database.write(store.remove_empty, 100) == 0
    database.write(images.remove, "0")
    assert database.write(store.remove_empty, 1) == 0
    assert database.write(store.remove_empty, 2) == 1
    assert database.read(lambda c: c.execute(select(metadata.tables["jobs"])).all()) == []
