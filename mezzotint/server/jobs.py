"""The server's jobs: stored ones, what is known of running ones, and what is told of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from mezzotint.jobs import images, store
from mezzotint.jobs.event import JobEvent
from mezzotint.jobs.open_job import LiveJob
from mezzotint.jobs.runner import JobRunner
from mezzotint.jobs.store import Job
from mezzotint.server.errors import not_ready
from mezzotint.server.history import History
from mezzotint.server.hub import Hub
from mezzotint.server.job_events import data_of
from mezzotint.server.job_schema import (
    JobInfo,
    JobList,
    ShownState,
    Snapshot,
    job_info,
    stored_states,
)
from mezzotint.server.metrics import Metrics
from mezzotint.server.queue import Queue
from mezzotint.server.settings import DRAIN_S
from mezzotint.server.source import RunnerSource
from mezzotint.server.tuning import Tuning

_MAX_SNAPSHOT = 200  # jobs
_MARGIN_US = 10_000_000  # an end is written a little before it is told


class Jobs:
    """Opened once there is a runner; what is stored can be read before."""

    def __init__(
        self,
        history: History,
        source: RunnerSource,
        queue: Queue,
        tuning: Tuning,
        metrics: Metrics,
        root_path: str,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self.gallery = history.gallery
        self.database = history.gallery.database
        self.queue = queue
        self.tuning = tuning
        self.hub = Hub()
        self._root_path = root_path
        self._lock = threading.Lock()  # opening, and the end
        self._runner: JobRunner | None = None
        self._settled_s: float | None = None

    @property
    def runner(self) -> JobRunner:
        """What runs jobs; ApiError 503 in the first moments of the server."""
        if self._runner is None:
            raise not_ready("loading")
        return self._runner

    @property
    def taker(self) -> JobRunner:
        """What takes jobs; ApiError 503 where none would ever be made."""
        if self._source.state == "failed":
            raise not_ready("failed")
        return self.runner

    def open(self) -> None:
        """Begin to run jobs, those of an earlier server first."""
        with self._lock:
            if self._settled_s is None:  # it may be told to end while it loads
                self._runner = JobRunner(self.gallery, self.queue.line, self._observe)

    def settle(self) -> None:
        """End the streams and start no more pictures of jobs: the server is about to end."""
        self.hub.close()
        with self._lock:
            self._settled_s = time.monotonic()
        if self._runner is not None:
            self._runner.settle()

    def close(self) -> None:
        """Let running pictures finish, up to DRAIN_S after `settle`; the rest waits on the disk."""
        if self._settled_s is None:
            self.settle()
        if self._runner is not None:
            spent_s = time.monotonic() - (self._settled_s or 0.0)
            self._runner.close(max(DRAIN_S - spent_s, 0.0))

    def show(self, job: Job) -> JobInfo:
        """A job as it stands now."""
        return self._show_all([job])[0]

    def page(
        self, key_id: str | None, state: ShownState | None, cursor: str | None, limit: int
    ) -> JobList:
        """Jobs, newest first. RequestError for a cursor that is none of ours."""
        page = self.database.read(
            store.page, key_id=key_id, states=stored_states(state), cursor=cursor, limit=limit
        )
        return JobList(jobs=self._show_all(page.items), next_cursor=page.next)

    def snapshot(self, key_id: str | None, since_us: int | None) -> Snapshot:
        """Jobs that are not over, and those that ended since a time."""
        since = None if since_us is None else max(since_us - _MARGIN_US, 0)
        found = self.database.read(store.open_or_ended, key_id, since, _MAX_SNAPSHOT + 1)
        shown = self._show_all(found[-_MAX_SNAPSHOT:])
        return Snapshot(jobs=shown, complete=len(found) <= _MAX_SNAPSHOT)

    def _show_all(self, found: Sequence[Job]) -> list[JobInfo]:
        live: dict[str, LiveJob] = {}
        if self._runner is not None and any(job.state in ("queued", "running") for job in found):
            live = self._runner.live()
        kept = self.database.read(images.of_jobs, [job.id for job in found])
        return [job_info(job, kept[job.id], live.get(job.id), self._root_path) for job in found]

    def _observe(self, told: JobEvent) -> None:
        if told.kind in ("done", "failed", "cancelled"):
            self._metrics.job(told.kind)
        data = data_of(told, self._root_path, look=self.hub.heard)
        if data is None:
            return
        key_id, job_id = (None, None) if told.job is None else (told.job.key_id, told.job.id)
        text = data.model_dump_json(exclude_none=told.kind == "progress").encode()
        self.hub.tell(told.kind, text, key_id=key_id, job_id=job_id)
