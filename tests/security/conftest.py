"""What the tests of the server share is beside those of tests/cpu."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "cpu"))

from serving import until
from test_server_images import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A server with a history, its runner ready; two callers, an admin and a user."""
    made = World(tmp_path / "data")
    with made.http:
        until(lambda: made.http.get("/ready").status_code == 200)
        yield made
    made.ring.close()
    made.gallery.database.close()
