"""The engine with the bundled model: progress, cancel, failure, reproducibility."""

from __future__ import annotations

import io
import resource
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mezzotint import Cancelled, Engine, Progress, Request, RequestError
from mezzotint.engine.stats import stage_totals
from mezzotint.models.recipe import preview_steps

APPLE = Request(prompt="a red apple on green grass", seed=3, steps=3)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(slots=3) as engine:
        yield engine


def test_a_picture_is_a_file_with_its_pixels(engine: Engine) -> None:
    image = engine.generate("a red apple", seed=5, steps=2)[0]
    assert image.recipe.seed == 5
    assert image.format == "png"
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(image.data))), image.pixels)
    assert image.pixels.shape == (128, 128, 3)


def test_a_picture_is_saved_whole_or_not_at_all(engine: Engine, tmp_path: Path) -> None:
    image = engine.generate("a red apple", steps=1)[0]
    path = tmp_path / "apple.png"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes: as where a disk is full
    try:
        with pytest.raises(OSError, match="too large"):
            image.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not path.exists()
    assert image.save(path).read_bytes() == image.data
    with pytest.raises(FileExistsError):
        image.save(path)
    assert path.read_bytes() == image.data


def test_a_prompt_that_shows_a_picture_shows_how_it_was_made_and_no_pixels(engine: Engine) -> None:
    shown = repr(engine.generate("a red apple", seed=1, steps=1))
    assert "seed=1" in shown
    assert len(shown) < 2000


def test_the_same_request_makes_the_same_bytes_alone_and_in_company(engine: Engine) -> None:
    alone = engine.submit(APPLE).result(60)
    company = [replace(APPLE, seed=s, prompt=f"{s} cars", steps=2) for s in range(4)]
    tickets = engine.submit_all([*company[:2], APPLE, *company[2:]])
    assert tickets[2].result(60).data == alone.data
    assert tickets[0].result(60).data != alone.data


def test_pictures_of_one_prompt_take_consecutive_seeds(engine: Engine) -> None:
    images = engine.generate(["a cat", "a dog"], n=2, seed=9, steps=1)
    assert [(i.recipe.prompt, i.recipe.seed) for i in images] == [
        ("a cat", 9),
        ("a cat", 10),
        ("a dog", 9),
        ("a dog", 10),
    ]
    assert len({image.data for image in images}) == 4


def test_progress_tells_every_step_in_order(engine: Engine) -> None:
    seen: list[Progress] = []
    started = threading.Event()
    blocker = engine.submit(replace(APPLE, steps=20))
    ticket = engine.submit(APPLE)
    ticket.on_progress(seen.append)
    started.set()
    blocker.cancel()
    ticket.result(60)
    assert [(p.stage, p.step) for p in seen if p.stage != "encode"] == [
        ("denoise", 1),
        ("denoise", 2),
        ("denoise", 3),
        ("decode", 3),
        ("file", 3),
    ]
    assert {p.steps for p in seen} == {3}


def test_previews_show_the_picture_that_is_coming(engine: Engine) -> None:
    seen: list[Progress] = []
    ticket = engine.submit(replace(APPLE, steps=8, previews=3))
    ticket.on_progress(seen.append)
    image = ticket.result(60)
    looks = {p.step: p.preview for p in seen if p.preview is not None}
    assert sorted(looks) == [1, 3, 5]
    small = np.asarray(PIL.Image.fromarray(image.pixels).resize((16, 16), PIL.Image.Resampling.BOX))
    errors = [np.abs(look.astype(float) - small).mean() for look in looks.values()]
    assert looks[1].shape == (16, 16, 3)
    assert errors[0] > errors[1] > errors[2]  # each looks more like the end than the one before
    assert errors[2] < 25  # of 255; noise would be off by 64
    assert image.data == engine.submit(replace(APPLE, steps=8)).result(60).data


@pytest.mark.parametrize(
    ("steps", "previews", "expected"),
    [(8, 0, []), (8, 1, [1]), (8, 3, [1, 3, 5]), (1, 3, []), (2, 3, [1]), (4, 9, [1, 2, 3])],
)
def test_which_steps_give_previews(steps: int, previews: int, expected: list[int]) -> None:
    assert sorted(preview_steps(steps, previews)) == expected


def test_spans_cover_the_time_from_submission_to_file(engine: Engine) -> None:
    image = engine.submit(APPLE).result(60)
    totals = stage_totals(image.spans)
    assert list(totals) == ["queue", "encode", "denoise", "decode", "file"]
    assert [span.stage for span in image.spans].count("denoise") == 3
    end = max(span.start_ms + span.length_ms for span in image.spans)
    assert 0.5 * end <= sum(totals.values()) <= 1.05 * end


def test_a_wrong_request_in_a_batch_stops_the_whole_batch(engine: Engine) -> None:
    before = sum(engine.stats().outcomes.values())
    with pytest.raises(RequestError, match="steps 0"):
        engine.submit_all([APPLE, replace(APPLE, steps=0)])
    assert sum(engine.stats().outcomes.values()) == before
    assert engine.stats().waiting == 0


def test_an_over_long_prompt_says_how_many_tokens(engine: Engine) -> None:
    with pytest.raises(RequestError, match=r"has \d{3,} tokens .* limit is 512; shorten"):
        engine.submit(replace(APPLE, prompt="a cat and a dog " * 200))


def test_cancel_ends_a_running_and_a_waiting_request(engine: Engine) -> None:
    stepped = threading.Event()
    running = engine.submit(replace(APPLE, steps=120))
    running.on_progress(lambda p: stepped.set() if p.stage == "denoise" else None)
    others = [engine.submit(replace(APPLE, steps=120)) for _ in range(4)]  # more than the slots
    assert stepped.wait(60)
    for ticket in (running, *others):
        assert ticket.cancel()
        with pytest.raises(Cancelled):
            ticket.result(10)
    assert not running.cancel()
    assert engine.submit(APPLE).result(60).recipe.seed == 3
    assert engine.stats().running == engine.stats().waiting == 0


def test_a_failing_stage_ends_its_request_and_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = engine._model
    real = model.decode.__class__.__call__

    def fail_on_seed_666(self: object, rows: object, slots: object) -> None:
        if broken.is_set():
            broken.clear()
            raise RuntimeError("the decoder broke")
        real(self, rows, slots)

    broken = threading.Event()
    monkeypatch.setattr(model.decode.__class__, "__call__", fail_on_seed_666)
    for _ in range(20):  # more often than there are slots: none may be lost
        broken.set()
        with pytest.raises(RuntimeError, match="the decoder broke"):
            engine.submit(replace(APPLE, steps=1)).result(60)
    assert engine.submit(APPLE).result(60).recipe == engine.submit(APPLE).result(60).recipe


def test_a_callback_that_breaks_ends_its_own_request(engine: Engine) -> None:
    def broken(progress: Progress) -> None:
        raise ZeroDivisionError(progress.stage)

    for stage in ("denoise", "file"):
        ticket = engine.submit(replace(APPLE, steps=20))
        ticket.on_progress(lambda p, s=stage: broken(p) if p.stage == s else None)
        with pytest.raises(ZeroDivisionError, match=stage):
            ticket.result(60)
    assert engine.submit(APPLE).result(60).recipe.seed == 3


def test_a_defect_of_the_scheduler_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(slots=1)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # the thread reports it as well
    monkeypatch.setattr(
        engine._scheduler.__class__, "complete", lambda *_: (_ for _ in ()).throw(KeyError("lost"))
    )
    with pytest.raises(KeyError, match="lost"):
        engine.submit(APPLE).result(60)
    with pytest.raises(Cancelled, match="closed"):
        engine.submit(APPLE)
    engine.close()


def test_more_requests_than_slots_all_end(engine: Engine) -> None:
    images = engine.generate([f"{n} cars" for n in range(7)], seed=1, steps=1)
    assert [image.recipe.prompt for image in images] == [f"{n} cars" for n in range(7)]


def test_a_prompt_is_encoded_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encoder = engine._model.encode
    real = encoder._encode  # type: ignore[attr-defined]
    monkeypatch.setattr(
        encoder,
        "_encode",
        lambda prompts, device: calls.append(len(prompts)) or real(prompts, device),
    )
    engine.generate("a purple umbrella in the rain", n=2, seed=1, steps=1)
    engine.generate("a purple umbrella in the rain", seed=4, steps=1)
    assert sum(calls) <= 2  # the prompt and, at most, the empty negative


def test_closing_cancels_what_waits() -> None:
    engine = Engine(slots=1)
    tickets = [engine.submit(replace(APPLE, steps=120, seed=s)) for s in range(3)]
    engine.close()
    for ticket in tickets:
        with pytest.raises(Cancelled, match="closed"):
            ticket.result(0)
    with pytest.raises(Cancelled, match="closed"):
        engine.submit(APPLE)
