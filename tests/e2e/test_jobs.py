"""Jobs of a real server with the real model: killed, started again, and made all the same."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import httpx2
from test_serve import LIMIT_S, Process, _clean_place, started, until

__all__ = ["_clean_place"]  # a fixture for every test here

API = "/api/v1"
CALL = {"prompt": "a red apple on green grass", "width": 128, "height": 128, "steps": 8}


def post(server: Process, key: str, **more: Any) -> Any:
    """Ask for a job; only in a server's first moments is that a 503."""
    answers: list[httpx2.Response] = []

    def ask() -> bool:
        headers = {"Idempotency-Key": key}
        url = f"{server.url}{API}/jobs"
        answers.append(httpx2.post(url, json=CALL | more, headers=headers, timeout=LIMIT_S))
        return answers[-1].status_code != 503

    until(ask)
    assert answers[-1].status_code == 202, answers[-1].text
    return answers[-1].json()


def get(server: Process, path: str) -> Any:
    return httpx2.get(f"{server.url}{API}{path}", timeout=LIMIT_S).raise_for_status().json()


def read_until(server: Process, name: str, since: int | None = None) -> tuple[int, Any]:
    """Read the stream of all jobs up to an event. -> its id and data."""
    headers = {} if since is None else {"Last-Event-ID": str(since)}
    fields: dict[str, str] = {}
    with httpx2.stream(
        "GET", f"{server.url}{API}/events", headers=headers, timeout=LIMIT_S
    ) as answer:
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if line:
                fields[field] = value
            elif fields.get("event") == name:
                return int(fields["id"]), json.loads(fields["data"])
            else:
                fields = {}
    raise AssertionError("the stream ended before it came")


def test_acknowledged_jobs_are_made_though_the_server_is_killed(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"))
    with started(*data) as server:
        large, small = post(server, "large", n=6, seed=7), post(server, "small", seed=99)
        assert server.status() == "loading"  # they are taken meanwhile
        last, event = read_until(server, "image")
        assert event["job_id"] in (large["id"], small["id"])
        workers = server.workers()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(LIMIT_S)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    with started(*data) as server:
        _, snapshot = read_until(server, "snapshot", since=last)
        assert {large["id"], small["id"]} <= {job["id"] for job in snapshot["jobs"]}
        for id in (large["id"], small["id"]):
            until(lambda id=id: get(server, f"/jobs/{id}")["state"] == "done")  # type: ignore[misc]
        assert post(server, "large", n=6, seed=7)["id"] == large["id"]
        made = get(server, f"/jobs/{large['id']}")["images"]
        assert [image["seed"] for image in made] == [7, 8, 9, 10, 11, 12]
        first = event["image"]
        kept = get(server, f"/images/{first['id']}")
        assert kept["created_at"] == first["created_at"]  # made before the kill, and not again
        for image in (*made, kept):
            file = httpx2.get(f"{server.url}{image['file_url']}", timeout=LIMIT_S).content
            assert hashlib.sha256(file).hexdigest() == image["sha256"]
        names = [path.name for path in (tmp_path / "data" / "outputs").glob("*/*")]
        assert len(names) == 7
        assert all(name.startswith("a-red-apple-on-green-grass-s") for name in names)
        assert server.end(signal.SIGTERM) == 0, server.log
