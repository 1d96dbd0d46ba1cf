"""A worker's program without torch: a runner that takes a delay a step and breaks when told to.

A prompt's first word may name a fault, its second "once" and its third the fault's own name; it
breaks at its first step, and with "once" only the first time in the folder of the configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from mezzotint.engine.plan import Largest
from mezzotint.engine.record import Mark, Observation
from mezzotint.engine.stats import EngineStats
from mezzotint.models.recipe import resolve
from mezzotint.models.spec import Limits, ModelSpec, OnLoad, SlotShapes
from mezzotint.types import (
    Cancelled,
    Image,
    ModelError,
    Progress,
    Provenance,
    Recipe,
    Request,
    RequestError,
    ResourceError,
    Span,
)
from mezzotint.workers.process import main

SPEC = ModelSpec(
    name="Fake",
    family="fake",
    packing="tokens",
    prediction="velocity",
    sampler="flow_euler",
    guidance_convention="pos + g (pos - neg)",
    sizes=((64, 64),),
    steps=4,
    guidance=0.0,
    limits=Limits(
        side_multiple=16,
        min_side=16,
        max_side=512,
        min_pixels=256,
        max_pixels=512 * 512,
        max_steps=1000,
        max_guidance=20.0,
        max_prompt_tokens=64,
    ),
    presets=(),
    catalogue=None,
    slot_shapes=SlotShapes(
        latent_tokens=16, latent_width=64, caption_tokens=64, caption_width=8, pixels=4096
    ),
    sigmas=lambda steps: tuple(1 - i / steps for i in range(steps + 1)),
    signature=lambda recipe, tokens: (recipe.width, recipe.height, tokens),
    cost=lambda recipe: recipe.width * recipe.height / 4096,
)


class FakeConfig(msgspec.Struct):
    """How the fake behaves; seconds."""

    step_s: float = 0.002
    load_s: float = 0.0
    load_fault: str = ""  # "die", "refuse", "break" (an error that is not ours)
    load_faults: int = 1000  # so many times in this folder
    most_pixels: int = SPEC.limits.max_pixels
    folder: str = ""


def config(**values: object) -> str:
    """A FakeConfig in JSON."""
    return json.dumps(values)


def picture(recipe: Recipe) -> np.ndarray:
    """The pixels a fake makes: a function of the recipe."""
    rng = np.random.default_rng(recipe.seed)
    return rng.integers(0, 256, (recipe.height, recipe.width, 3), dtype=np.uint8)


def file_bytes(recipe: Recipe) -> bytes:
    """The file a fake makes."""
    return hashlib.sha256(repr(recipe).encode()).digest() * 20


@dataclass(eq=False)
class FakeTicket:
    id: int
    recipe: Recipe
    request: Request
    future: Future[Image] = field(default_factory=Future)
    cancelled: threading.Event = field(default_factory=threading.Event)
    callbacks: list = field(default_factory=list)

    def result(self, timeout: float | None = None) -> Image:
        return self.future.result(timeout)

    def done(self) -> bool:
        return self.future.done()

    def cancel(self) -> bool:
        self.cancelled.set()
        return not self.future.done()

    def on_progress(self, callback) -> None:
        self.callbacks.append(callback)


class FakeEngine:
    """A Runner; a thread for every request."""

    spec = SPEC
    provenance = Provenance(
        model="Fake", weights="0" * 64, precision="fp32", device="cpu", versions=(("fake", "1"),)
    )

    def __init__(self, config: FakeConfig, on_load: OnLoad = lambda done, total: None) -> None:
        self.config = config
        self.largest = Largest(config.most_pixels, config.most_pixels)
        self.tickets: list[FakeTicket] = []
        self._load(on_load)

    def submit(self, request: Request) -> FakeTicket:
        if len(request.prompt) > 1000:
            raise RequestError("the prompt is too long; shorten it")
        ticket = FakeTicket(len(self.tickets), resolve(request, self.spec), request)
        self.tickets.append(ticket)
        threading.Thread(target=self._make, args=(ticket,), daemon=True).start()
        return ticket

    def submit_all(self, requests):
        return [self.submit(request) for request in requests]

    def stats(self) -> EngineStats:
        return EngineStats(0, 0, {}, {}, "host")

    def observe(self, after: Mark) -> Observation:
        return Observation(after, 0, (), (), ())

    def close(self) -> None:
        for ticket in self.tickets:
            ticket.cancel()
        for ticket in self.tickets:
            ticket.future.exception()

    def _load(self, on_load: OnLoad) -> None:
        for part in range(5):
            on_load(part, 5)
            time.sleep(self.config.load_s / 5)
        if not self.config.load_fault:
            return
        marks = list(Path(self.config.folder).glob("load-*"))
        if len(marks) >= self.config.load_faults:
            return
        (Path(self.config.folder) / f"load-{len(marks)}").touch()
        match self.config.load_fault:
            case "die":
                os._exit(9)
            case "refuse":
                raise ModelError("the weights are not there; pull them")
            case "break":
                raise KeyError("layer 7")

    def _make(self, ticket: FakeTicket) -> None:
        started = time.monotonic()
        time.sleep(0.001)  # the caller registers its callbacks
        try:
            self._run(ticket)
        except Exception as error:
            ticket.future.set_exception(error)
            return
        length_ms = (time.monotonic() - started) * 1e3
        recipe = ticket.recipe
        ticket.future.set_result(
            Image(
                picture(recipe),
                file_bytes(recipe),
                ticket.request.format,
                recipe,
                self.provenance,
                (Span("denoise", 0.0, length_ms),),
            )
        )

    def _run(self, ticket: FakeTicket) -> None:
        self._tell(ticket, Progress("encode", 0, ticket.recipe.steps))
        for step in range(1, ticket.recipe.steps + 1):
            if ticket.cancelled.wait(self.config.step_s):
                raise Cancelled("the picture was cancelled")
            if step == 1:
                self._break(ticket.request.prompt.split())
            preview = np.full((8, 4, 3), step, np.uint8) if ticket.request.previews else None
            self._tell(ticket, Progress("denoise", step, ticket.recipe.steps, preview))

    def _tell(self, ticket: FakeTicket, progress: Progress) -> None:
        for callback in ticket.callbacks:
            callback(progress)

    def _break(self, words: list[str]) -> None:
        if len(words) == 3 and words[1] == "once":
            mark = Path(self.config.folder) / words[2]
            if mark.exists():
                return
            mark.touch()
        fault = FAULTS.get(words[0])
        if fault is not None:
            fault()


def _raise(error: Exception) -> None:
    raise error


def _write(data: bytes) -> None:
    os.write(int(sys.argv[sys.argv.index("--fd") + 1]), data)


def _framed(frame: object) -> None:
    payload = msgspec.msgpack.encode(frame)
    _write(len(payload).to_bytes(4, "big") + payload)


FAULTS = {
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: time.sleep(3600),
    "garbage": lambda: _write(b"\xff" * 64),
    "untyped": lambda: _framed({"type": "Progressed", "id": "one"}),
    "stranger": lambda: _framed(
        {"type": "Failed", "id": 10**6, "kind": "other", "message": "who is this?"}
    ),
    "blockless": lambda: _framed(
        {
            "type": "Finished",
            "id": 0,
            "width": 64,
            "height": 64,
            "data_bytes": 10,
            "spans": [],
        }
    ),
    "oom": lambda: _raise(ResourceError("memory ran out (4 GiB); ask for a smaller size")),
    "device": lambda: _raise(RuntimeError("CUDA error: an illegal memory access")),
    "defect": lambda: _raise(KeyError("a defect")),
}


def _refuse_pickle(event: str, _: object) -> None:
    if event == "pickle.find_class":
        os._exit(77)


if __name__ == "__main__":
    sys.addaudithook(_refuse_pickle)
    main(lambda text, on_load: FakeEngine(msgspec.json.decode(text, type=FakeConfig), on_load))
