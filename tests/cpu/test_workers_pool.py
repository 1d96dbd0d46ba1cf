"""The pool over real processes with a fake engine: what it promises when workers break."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_engine import SPEC, config, file_bytes, picture

from mezzotint.engine.plan import Largest
from mezzotint.types import (
    Cancelled,
    ModelError,
    Progress,
    Request,
    RequestError,
    ResourceError,
    StepRange,
)
from mezzotint.workers.errors import WorkerError
from mezzotint.workers.pace import Policy
from mezzotint.workers.pool import Pool
from mezzotint.workers.spawn import Launch
from mezzotint.workers.watch import Watch
from mezzotint.workers.worker import Worker

PROGRAM = (str(Path(__file__).parents[1] / "fake_engine.py"),)
QUICK = Policy(backoff_s=0.02, max_backoff_s=0.1)
HASTY = replace(QUICK, silence_s=0.5, first_picture_s=1.0)
WAIT = 60.0  # seconds; far above what a slow machine needs


@contextmanager
def pool_of(
    *configs: str, policy: Policy = QUICK, depth: int = 10, **settings: object
) -> Iterator[Pool]:
    """A pool of fakes; with no configuration given, one worker with these settings."""
    launches = [
        Launch(config=text, program=PROGRAM, depth=depth)
        for text in configs or [config(**settings)]
    ]
    with Pool(SPEC, launches, policy) as pool:
        yield pool


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def pids(pool: Pool) -> list[int]:
    return [worker.process.pid for worker in pool._workers if worker.process is not None]


def children() -> set[int]:
    """This process's children, zombies too."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(after[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def test_a_picture_crosses_whole_and_its_progress_with_it() -> None:
    with pool_of() as pool:
        seen: list[Progress] = []
        ticket = pool.submit(Request(prompt="a", seed=7, steps=3, previews=2, format="webp"))
        ticket.on_progress(seen.append)
        image = ticket.result(WAIT)
        assert np.array_equal(image.pixels, picture(ticket.recipe))
        assert image.data == file_bytes(ticket.recipe)
        assert (image.format, image.recipe, image.recipe.seed) == ("webp", ticket.recipe, 7)
        assert image.provenance == pool.provenance
        assert [(p.stage, p.step) for p in seen] == [("encode", 0)] + [
            ("denoise", step) for step in (1, 2, 3)
        ]
        assert seen[1].preview is not None
        assert np.array_equal(seen[1].preview, np.full((8, 4, 3), 1, np.uint8))
        assert [span.stage for span in image.spans] == ["queue", "denoise"]
        assert image.spans[1].start_ms == pytest.approx(image.spans[0].length_ms)
        stats = pool.stats()
        assert (stats.waiting, stats.running, stats.outcomes) == (0, 0, {"finished": 1})
        assert stats.clock == "host"
        assert not ticket.cancel()


def test_two_workers_share_the_work_by_cost() -> None:
    with pool_of(config(step_s=0.02), config(step_s=0.02)) as pool:
        wait_for(lambda: [w.state for w in pool.workers()] == ["ready", "ready"])
        dear = pool.submit(Request(prompt="a", width=512, height=512, seed=1))
        cheap = [pool.submit(Request(prompt="a", seed=seed)) for seed in range(4)]
        with pool._lock:
            held = [set(worker.running) for worker in pool._workers]
        assert held == [{dear.id}, {ticket.id for ticket in cheap}]
        for ticket in (dear, *cheap):
            ticket.result(WAIT)


def test_a_pool_takes_what_every_worker_has_memory_for() -> None:
    with pool_of(config(most_pixels=4096), config(most_pixels=1024)) as pool:
        assert pool.largest.plain in (512 * 512, 4096, 1024)  # by who is ready
        wait_for(lambda: [w.state for w in pool.workers()] == ["ready", "ready"])
        assert pool.largest == Largest(1024, 1024)


def test_requests_wait_while_a_worker_loads_and_a_worker_never_gets_more_than_its_depth() -> None:
    with pool_of(config(load_s=0.5, step_s=0.01), depth=2) as pool:
        tickets = pool.submit_all([Request(prompt="a", seed=seed) for seed in range(5)])
        assert (pool.state, pool.stats().waiting) == ("loading", 5)
        wait_for(lambda: pool.state == "ready")
        most = 0
        while not all(ticket.done() for ticket in tickets):
            most = max(most, pool.stats().running)
        assert most == 2
        assert len({ticket.result().pixels.tobytes() for ticket in tickets}) == 5


def test_a_random_seed_is_drawn_once() -> None:
    with pool_of() as pool:
        ticket = pool.submit(Request(prompt="a"))
        assert ticket.result(WAIT).recipe.seed == ticket.recipe.seed
        assert np.array_equal(ticket.result().pixels, picture(ticket.recipe))


def test_wrong_requests_are_refused_at_once_all_of_them() -> None:
    with pool_of() as pool:
        with pytest.raises(RequestError, match="multiple of 16"):
            pool.submit_all([Request(prompt="a"), Request(prompt="a", width=65, height=64)])
        assert pool.stats().waiting + pool.stats().running == 0
        with pytest.raises(RequestError, match="far too long"):
            pool.submit(Request(prompt="a" * 2**20))
        with pytest.raises(RequestError, match="shorten"):  # known to the worker only
            pool.submit(Request(prompt="a" * 1001)).result(WAIT)


def test_numbers_of_numpy_cross_as_numbers() -> None:
    request = Request(
        prompt="a",
        width=np.int64(128),  # type: ignore[arg-type]
        height=np.int16(128),  # type: ignore[arg-type]
        guidance=np.float32(0.5),  # type: ignore[arg-type]
        guidance_rescale=np.float64(0.5),
        steps_range=StepRange(np.int64(2), np.int64(3)),  # type: ignore[arg-type]
    )
    with pool_of() as pool:
        recipe = pool.submit(request).result(WAIT).recipe
    assert (recipe.steps, recipe.guidance) == (3, 0.5)


@pytest.mark.parametrize("fault", ["die", "garbage", "untyped", "stranger", "blockless", "device"])
def test_a_worker_that_breaks_is_replaced_and_its_request_made_again(
    fault: str, tmp_path: Path
) -> None:
    with pool_of(folder=str(tmp_path)) as pool:
        ticket = pool.submit(Request(prompt=f"{fault} once mark", seed=3))
        assert np.array_equal(ticket.result(WAIT).pixels, picture(ticket.recipe))
        assert pool.workers()[0].restarts == 1
        assert pool.stats().outcomes == {"finished": 1}


@pytest.mark.parametrize("fault", ["die", "garbage", "device"])
def test_a_request_that_breaks_two_workers_fails_alone(fault: str) -> None:
    with pool_of(config(step_s=0.01), config(step_s=0.01)) as pool:
        wait_for(lambda: [w.state for w in pool.workers()] == ["ready", "ready"])
        good = [pool.submit(Request(prompt="a", seed=seed)) for seed in range(6)]
        bad = pool.submit(Request(prompt=fault, seed=99))
        with pytest.raises(WorkerError, match="twice"):
            bad.result(WAIT)
        for ticket in good:
            assert np.array_equal(ticket.result(WAIT).pixels, picture(ticket.recipe))
        assert sum(worker.restarts for worker in pool.workers()) == 2


def test_another_worker_never_notices_a_death() -> None:
    with pool_of(config(step_s=0.05), config(step_s=0.05)) as pool:
        wait_for(lambda: [w.state for w in pool.workers()] == ["ready", "ready"])
        tickets = [pool.submit(Request(prompt="a", seed=seed, steps=10)) for seed in range(2)]
        second = pids(pool)[1]
        os.kill(pids(pool)[0], signal.SIGKILL)
        for ticket in tickets:
            assert np.array_equal(ticket.result(WAIT).pixels, picture(ticket.recipe))
        wait_for(lambda: [w.state for w in pool.workers()] == ["ready", "ready"])
        assert [w.restarts for w in pool.workers()] == [1, 0]
        assert pids(pool)[1] == second


@pytest.mark.parametrize("warm", [False, True])
def test_a_worker_that_hangs_is_replaced(warm: bool, tmp_path: Path) -> None:
    with pool_of(folder=str(tmp_path), policy=HASTY) as pool:
        if warm:
            pool.submit(Request(prompt="a")).result(WAIT)
        pool.provenance  # noqa: B018 - loading is not part of the time
        start = time.monotonic()
        ticket = pool.submit(Request(prompt="hang once mark", seed=3))
        assert np.array_equal(ticket.result(WAIT).pixels, picture(ticket.recipe))
        assert time.monotonic() - start >= (HASTY.silence_s if warm else HASTY.first_picture_s)
        (status,) = pool.workers()
        assert status.restarts == 1


def test_a_stopped_worker_hangs_too_and_submitting_to_it_does_not() -> None:
    with pool_of(depth=4000, policy=HASTY) as pool:
        pool.submit(Request(prompt="a")).result(WAIT)
        (pid,) = pids(pool)
        os.kill(pid, signal.SIGSTOP)
        prompt = "a" * 1000
        start = time.monotonic()
        tickets = [pool.submit(Request(prompt=prompt, seed=seed)) for seed in range(1000)]
        assert time.monotonic() - start < 10 * HASTY.silence_s
        wait_for(lambda: pool.workers()[0].restarts == 1)
        for ticket in tickets[10:]:
            ticket.cancel()
        for ticket in tickets[:10]:
            ticket.result(WAIT)


def test_slow_steps_are_no_hang() -> None:
    with pool_of(step_s=0.2, policy=HASTY) as pool:
        pool.submit(Request(prompt="a", steps=2)).result(WAIT)
        pool.submit(Request(prompt="a", steps=10)).result(WAIT)  # 2 s in all, 0.2 s a step
        assert pool.workers()[0].restarts == 0


def test_memory_that_ran_out_in_company_is_tried_alone_and_fails_the_second_time(
    tmp_path: Path,
) -> None:
    with pool_of(folder=str(tmp_path)) as pool:
        once = pool.submit(Request(prompt="oom once mark", seed=1))
        always = pool.submit(Request(prompt="oom", seed=2))
        assert once.result(WAIT).recipe.seed == 1
        with pytest.raises(ResourceError, match="smaller size"):
            always.result(WAIT)
        assert pool.workers()[0].restarts == 0


def test_a_defect_ends_its_request_and_not_the_worker() -> None:
    with pool_of() as pool:
        with pytest.raises(WorkerError, match="KeyError"):
            pool.submit(Request(prompt="defect")).result(WAIT)
        assert pool.submit(Request(prompt="a")).result(WAIT)
        assert pool.workers()[0].restarts == 0


@pytest.mark.parametrize("fault", ["die", "break"])
def test_a_worker_that_fails_to_load_is_tried_again(fault: str, tmp_path: Path) -> None:
    with pool_of(folder=str(tmp_path), load_fault=fault, load_faults=2) as pool:
        assert pool.submit(Request(prompt="a")).result(WAIT)
        assert pool.workers()[0].restarts == 2


def test_a_crash_loop_is_reported_and_requests_fail_with_its_reason(tmp_path: Path) -> None:
    with pool_of(folder=str(tmp_path), load_fault="die") as pool:
        ticket = pool.submit(Request(prompt="a"))
        with pytest.raises(WorkerError, match="exited with code 9"):
            ticket.result(WAIT)
        assert pool.state == "failed"
        assert "exited with code 9" in (pool.workers()[0].error or "")
        with pytest.raises(WorkerError):
            pool.submit(Request(prompt="a"))
        with pytest.raises(WorkerError):
            pool.provenance  # noqa: B018 - a property that waits
        assert len(list(tmp_path.glob("load-*"))) == QUICK.load_failures


def test_missing_weights_are_not_looked_for_again(tmp_path: Path) -> None:
    with pool_of(folder=str(tmp_path), load_fault="refuse") as pool:
        with pytest.raises(ModelError, match="pull them"):
            pool.provenance  # noqa: B018 - a property that waits
        assert len(list(tmp_path.glob("load-*"))) == 1


def test_a_failed_workers_share_goes_elsewhere(tmp_path: Path) -> None:
    bad = config(folder=str(tmp_path), load_fault="die")
    with pool_of(bad, config(load_s=1.0)) as pool:
        tickets = pool.submit_all([Request(prompt="a", seed=seed) for seed in range(4)])
        for ticket in tickets:
            ticket.result(WAIT)
        wait_for(lambda: pool.workers()[0].state == "failed")
        assert pool.state == "ready"


def test_a_worker_that_does_not_load_in_time_is_given_up() -> None:
    policy = Policy(load_s=0.3, backoff_s=0.01, load_failures=2)
    error = pytest.raises(WorkerError, match=r"did not load within 0\.3 s")
    with pool_of(config(load_s=600.0), policy=policy) as pool, error:
        pool.submit(Request(prompt="a")).result(WAIT)


def test_cancel_of_a_running_and_of_a_waiting_request() -> None:
    with pool_of(config(step_s=0.05), depth=1) as pool:
        running = pool.submit(Request(prompt="a", steps=1000))
        waiting = pool.submit(Request(prompt="a"))
        started = threading.Event()
        running.on_progress(lambda _: started.set())
        assert started.wait(WAIT)
        assert waiting.cancel()
        with pytest.raises(Cancelled):
            waiting.result(0)  # at once
        assert running.cancel()
        with pytest.raises(Cancelled):
            running.result(WAIT)
        assert not running.cancel()
        assert pool.stats().outcomes == {"cancelled": 2}
        assert pool.submit(Request(prompt="a")).result(WAIT)


def test_a_cancelled_request_is_not_made_again_when_its_worker_dies() -> None:
    with pool_of(policy=HASTY) as pool:
        ticket = pool.submit(Request(prompt="hang", steps=100))
        started = threading.Event()
        ticket.on_progress(lambda _: started.set())
        assert started.wait(WAIT)
        ticket.cancel()  # it hangs: only its death ends it
        with pytest.raises(Cancelled):
            ticket.result(WAIT)


def test_a_callback_that_breaks_ends_its_own_request() -> None:
    def broken(_: Progress) -> None:
        raise ZeroDivisionError

    with pool_of(step_s=0.05) as pool:
        other = pool.submit(Request(prompt="a"))
        ticket = pool.submit(Request(prompt="a", steps=1000))
        ticket.on_progress(broken)
        with pytest.raises(ZeroDivisionError):
            ticket.result(WAIT)
        assert other.result(WAIT)
        wait_for(lambda: pool.stats().running == 0)


@pytest.mark.parametrize("when", ["unfinished", "ended"])
def test_a_callback_that_leaves_python_costs_no_worker(when: str) -> None:
    with pool_of(step_s=0.02) as pool:
        ticket = pool.submit(Request(prompt="a", steps=3))
        if when == "ended":
            ticket.future.add_done_callback(lambda _: sys.exit("mine"))
            assert ticket.result(WAIT)
        else:
            ticket.on_progress(lambda _: sys.exit("mine"))
            with pytest.raises(SystemExit, match="mine"):
                ticket.result(WAIT)
        assert pool.submit(Request(prompt="a")).result(WAIT)
        assert [worker.restarts for worker in pool.workers()] == [0]


def test_close_cancels_what_is_unfinished_and_leaves_no_process() -> None:
    before = children()
    with pool_of(config(step_s=0.05), depth=1) as pool:
        tickets = [pool.submit(Request(prompt="a", steps=1000)) for _ in range(2)]
        wait_for(lambda: pool.stats().running == 1)
    for ticket in tickets:
        with pytest.raises(Cancelled):
            ticket.result(0)
    with pytest.raises(Cancelled, match="closed"):
        pool.submit(Request(prompt="a"))
    assert (pool.state, children() - before) == ("closed", set())
    pool.close()  # a second time is no error


def test_close_ends_what_a_worker_gives_back_while_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = Watch.lost
    noticed, closing = threading.Event(), threading.Event()

    def lost_late(self: Watch, worker: int) -> None:
        noticed.set()
        assert closing.wait(WAIT)
        lost(self, worker)

    monkeypatch.setattr(Watch, "lost", lost_late)
    with pool_of(step_s=0.05) as pool:
        ticket = pool.submit(Request(prompt="a", steps=1000))
        wait_for(lambda: pool.stats().running == 1)
        os.kill(pids(pool)[0], signal.SIGKILL)
        assert noticed.wait(WAIT)
        close = pool._workers[0].close
        monkeypatch.setattr(Worker, "close", lambda _: (close(), closing.set()))
    with pytest.raises(Cancelled):
        ticket.result(0)


def test_close_drains_when_told_to() -> None:
    with pool_of(config(step_s=0.02), depth=1) as pool:
        tickets = [pool.submit(Request(prompt="a", seed=seed)) for seed in range(3)]
        pool.close(drain_s=WAIT)
        assert all(ticket.result(0) for ticket in tickets)


@pytest.mark.parametrize("how", ["hang", "stop", "load"])
def test_close_kills_what_does_not_close(how: str) -> None:
    before = children()
    policy = Policy(close_s=0.5)
    with pool_of(config(load_s=600.0 if how == "load" else 0.0), policy=policy) as pool:
        if how == "load":
            wait_for(lambda: pids(pool) != [])
        else:
            pool.provenance  # noqa: B018 - waits until it is loaded
            pool.submit(Request(prompt="hang"))
        if how == "stop":
            os.kill(pids(pool)[0], signal.SIGSTOP)
        start = time.monotonic()
        pool.close()
        assert time.monotonic() - start < 10
    assert children() - before == set()


def test_workers_end_when_the_pools_process_is_killed() -> None:
    code = f"""
import sys, time
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(PROGRAM[0]).parent)!r}]
from test_workers_pool import *
texts = (config(), config(load_s=99.0))
pool = Pool(SPEC, [Launch(config=text, program=PROGRAM) for text in texts])
pool.provenance
pool.submit(Request(prompt="hang", steps=100))
wait_for(lambda: len(pids(pool)) == 2 and pool.stats().running == 1)
print(*pids(pool), flush=True)
time.sleep(99)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    wait_for(lambda: not any(_alive(pid) for pid in workers))


def test_nothing_leaks_over_200_requests_with_random_kills() -> None:
    rng = random.Random(0)
    num_threads = threading.active_count()
    before = (children(), count("/proc/self/fd"), count("/dev/shm"))  # noqa: S108 - it is only looked at
    with pool_of(config(), config()) as pool:
        wait_for(lambda: [w.state for w in pool.workers()] == ["ready", "ready"])
        kills = 0
        for start in range(0, 200, 20):
            seeds = range(start, start + 20)
            tickets = [pool.submit(Request(prompt="a", seed=seed)) for seed in seeds]
            time.sleep(rng.random() * 0.02)
            for pid in rng.sample(pids(pool), k=min(1, len(pids(pool)))):
                os.kill(pid, signal.SIGKILL)
                kills += 1
            done = [_outcome(ticket) for ticket in tickets]
            assert done == ["made"] * 20  # one kill a round hits no request twice
            # Unnoticed, it would take the next round's requests with it: a second kill of theirs.
            wait_for(lambda: sum(worker.restarts for worker in pool.workers()) == kills)  # noqa: B023
        assert kills > 5
    assert threading.active_count() <= num_threads + 1
    after = (children(), count("/proc/self/fd"), count("/dev/shm"))  # noqa: S108 - it is only looked at
    assert after == before


def count(folder: str) -> int:
    return len(list(Path(folder).iterdir()))


def _outcome(ticket) -> str:
    try:
        image = ticket.result(WAIT)
    except WorkerError:
        return "lost"
    assert np.array_equal(image.pixels, picture(ticket.recipe))
    return "made"


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # its new parent may be slow to collect it
