"""What is shown of a picture's stages is where its time went."""

from __future__ import annotations

from bench.shown_times import draw, shares
from mezzotint import Engine


def test_shown_stages_are_the_measured_time() -> None:
    with Engine(device="cpu") as engine:
        row = shares(draw(engine, 24))
    assert row["pictures"] == 24
    assert row["met"], row
