"""The parts of a server that its routes share: made once, started and closed with the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mezzotint.jobs.database import Database
from mezzotint.server.gpus import Gpus
from mezzotint.server.history import History
from mezzotint.server.housekeeping import Housekeeper
from mezzotint.server.jobs import Jobs
from mezzotint.server.knobs import Live
from mezzotint.server.live import LiveFeed
from mezzotint.server.metrics import Metrics
from mezzotint.server.queue import Queue
from mezzotint.server.sessions import Sessions
from mezzotint.server.settings import Settings
from mezzotint.server.source import RunnerSource, Served
from mezzotint.server.tuning import Tuning
from mezzotint.server.watcher import Feed, Watcher


class Started(Protocol):
    """What begins to work with the app."""

    def start(self) -> None: ...


class Closed(Protocol):
    """What ends with the app."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What the routes are made of, and what starts and closes with the app."""

    source: RunnerSource
    settings: Settings
    history: History | None
    tuning: Tuning
    queue: Queue
    gpus: Gpus
    metrics: Metrics
    watcher: Watcher
    jobs: Jobs | None
    sessions: Sessions
    started: list[Started]
    closed: list[Closed]

    @property
    def database(self) -> Database | None:
        return None if self.history is None else self.history.gallery.database


def assemble(
    source: RunnerSource, settings: Settings, history: History | None, feed: Feed | None
) -> Parts:
    """Make the parts of a server over `source`; nothing is started yet."""
    tuning = Tuning(
        Live(max_queue=settings.max_queue, steps_range=settings.steps_range),
        None if history is None else history.gallery.database,
        fixed=settings.fixed,
        running=settings.running,
    )
    queue = Queue(lambda: tuning.now.max_queue, lambda: tuning.now.wait_target_s)
    gpus = Gpus()
    metrics = Metrics(source, queue, gpus)
    watcher = Watcher(feed or LiveFeed(source, queue, gpus))
    source.when_open(lambda served: tuning.fit(served.runner.spec.limits.max_steps))
    source.when_open(lambda served: _open_line(served, queue, source, metrics))
    started: list[Started] = [source, watcher]
    closed: list[Closed] = [source, queue, watcher]
    jobs = None
    if history is not None:
        jobs = Jobs(history, source, queue, tuning, metrics, settings.root_path)
        source.when_open(lambda _: jobs.open())
        keeper = Housekeeper(history.gallery, tuning)
        started.append(keeper)
        closed += [jobs, keeper]
    sessions = Sessions(settings.keys)
    parts = (source, settings, history, tuning, queue, gpus, metrics, watcher, jobs, sessions)
    return Parts(*parts, started, closed)


def _open_line(served: Served, queue: Queue, source: RunnerSource, metrics: Metrics) -> None:
    queue.open(
        served,
        is_ready=lambda: source.peek() is not None,
        on_picture=lambda image: metrics.picture(image, served.runner.stats().clock),
    )
