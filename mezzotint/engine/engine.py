"""The engine: requests in, pictures out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from mezzotint.config import Config, make, name_precision
from mezzotint.engine.build import load_model, plan_memory
from mezzotint.engine.cost import limits
from mezzotint.engine.device import Device, choose_device
from mezzotint.engine.executor import Executor
from mezzotint.engine.graphs import GraphTally
from mezzotint.engine.loop import Loop
from mezzotint.engine.memory import memory_by_owner
from mezzotint.engine.plan import Largest
from mezzotint.engine.record import Interval, Mark, Observation
from mezzotint.engine.recorder import About, Recorder
from mezzotint.engine.scheduler import Scheduler, Work
from mezzotint.engine.stats import EngineStats, Timeline
from mezzotint.engine.ticket import EngineTicket
from mezzotint.engine.warm_up import to_draw, warm_up
from mezzotint.images.file import encode
from mezzotint.models.recipe import preview_steps, resolve, series
from mezzotint.models.spec import ModelSpec, OnLoad
from mezzotint.types import Image, Provenance, Recipe, Request
from mezzotint.version import __version__

_START = Mark()


class Engine:
    """Makes pictures with one model on one device; safe to call from any thread.

    Without a model it runs the small one that ships with the package. Options are the fields of
    `mezzotint.config.Config`; `on_load` hears of bytes of weights, read and in all. Close it, or
    use it in a `with` statement.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        on_load: OnLoad = lambda done, total: None,
        **options: Any,
    ) -> None:
        self.config: Config = make(model=None if model is None else str(model), **options)
        place = choose_device(self.config)
        if self.config.threads and place.device.type == "cpu":
            torch.set_num_threads(self.config.threads)
        self.memory = plan_memory(self.config, place)
        self._ids = itertools.count()
        with ExitStack() as undo:  # where it cannot be opened
            self._open(place, on_load, undo)
            undo.pop_all()

    @property
    def spec(self) -> ModelSpec:
        """What the model takes: sizes, limits, presets, defaults."""
        return self._model.spec

    @property
    def largest(self) -> Largest:
        """The largest pictures there is memory for, in pixels."""
        return self.memory.largest

    def submit(self, request: Request) -> EngineTicket:
        """Check a request and queue it. RequestError when it is outside the model's limits."""
        return self.submit_all([request])[0]

    def submit_all(self, requests: Sequence[Request]) -> list[EngineTicket]:
        """Queue several requests, or none of them if one is wrong (RequestError)."""
        admitted = [self._admit(request) for request in requests]
        for ticket, work in admitted:
            self._loop.submit(ticket, work)
        return [ticket for ticket, _ in admitted]

    def generate(self, prompt: str | Sequence[str], *, n: int = 1, **choices: Any) -> list[Image]:
        """Make n pictures of each prompt and wait for them; choices are Request's fields.

        Pictures of one prompt take consecutive seeds. All requests are checked before any runs.
        """
        prompts = [prompt] if isinstance(prompt, str) else prompt
        choices = {"format": self.config.format, "metadata": self.config.metadata} | choices
        requests = [r for p in prompts for r in series(Request(prompt=p, **choices), n, self.spec)]
        tickets = self.submit_all(requests)
        try:
            return [ticket.result() for ticket in tickets]
        finally:
            for ticket in tickets:
                ticket.cancel()

    def stats(self) -> EngineStats:
        """Counts, and median milliseconds by stage."""
        return EngineStats(
            waiting=self._scheduler.num_waiting,
            running=self._scheduler.num_running,
            outcomes=dict(self._recorder.stats.outcomes),
            stage_ms=self._recorder.stats.stage_ms(),
            clock=self._recorder.about.clock,
        )

    def observe(self, after: Mark = _START) -> Observation:
        """What ran and ended since a mark, and where the device's time and memory went."""
        return self._recorder.observe(after)

    def close(self) -> None:
        """Cancel what is unfinished and release the engine's threads.

        From a callback it only begins to; another close, or the program's end, does the rest.
        """
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, place: Device, on_load: OnLoad, undo: ExitStack) -> None:
        graphs = GraphTally(self.memory.graphs)
        undo.callback(graphs.close)
        self._model = load_model(self.config, place, self.memory, graphs, on_load)
        self.provenance = Provenance(
            model=self._model.spec.name,
            weights=self._model.weights_id,
            precision=name_precision(place.precision, self.config.attention),
            device=place.name,
            versions=(("mezzotint", __version__), ("torch", str(torch.__version__))),
        )
        self._scheduler = Scheduler(
            limits(
                self.memory.slots,
                place.precision,
                place.capability,
                deterministic=self.config.deterministic,
                asked=self.config.pack_tflop,
            )
        )
        executor = Executor(self._model, self.memory, place.device, place.dtype)
        undo.callback(executor.close)
        self._recorder = Recorder(
            About(
                name=place.name,
                precision=place.precision,
                clock="host" if place.device.type == "cpu" else "device",
                memory_bytes=memory_by_owner(
                    place.device, self._model, executor.slots_bytes, graphs
                ),
            )
        )
        self._loop = Loop(
            self._scheduler,
            executor,
            self._recorder,
            graphs,
            self._make_image,
            self.config.file_workers,
            host_threads=1 if place.device.type == "cuda" else None,
            prepare=partial(warm_up, executor, self._to_warm_up(place)),
        )
        undo.callback(self.close)
        self._loop.wait_until_prepared()

    def _admit(self, request: Request) -> tuple[EngineTicket, Work]:
        recipe = resolve(request, self.spec)
        self.memory.check(recipe.width, recipe.height, recipe.guided)
        work = self._work(recipe, request.previews)
        timeline = Timeline(time.monotonic())
        ticket = EngineTicket(
            work.id,
            recipe,
            self._loop.cancel,
            request=request,
            timeline=timeline,
            is_own_thread=self._loop.is_own_thread,
        )
        return ticket, work

    def _work(self, recipe: Recipe, previews: int) -> Work:
        prompt_ids = self._model.tokenize(recipe.prompt)
        negative_ids = self._model.tokenize(recipe.negative_prompt) if recipe.guided else None
        return Work(
            id=next(self._ids),
            recipe=recipe,
            prompt_ids=prompt_ids,
            negative_ids=negative_ids,
            sigmas=self.spec.sigmas(recipe.steps),
            signature=self.spec.signature(recipe, len(prompt_ids)),
            cost=self.spec.cost(recipe),
            preview_steps=preview_steps(recipe.steps, previews),
        )

    def _to_warm_up(self, place: Device) -> list[Work]:
        recipes = to_draw(self.config.warm_up, self.spec, self.memory, place.device)
        return [self._work(recipe, previews=1) for recipe in recipes]

    def _make_image(self, ticket: EngineTicket, pixels: np.ndarray) -> Image:
        request, recipe = ticket.request, ticket.recipe
        start = time.monotonic()
        data = encode(
            pixels,
            request.format,
            recipe,
            self.provenance,
            producer=self.config.producer,
            level=request.metadata,
            steps_range=request.steps_range,
        )
        end = time.monotonic()
        ticket.timeline.add("file", start, end)
        self._recorder.wrote(ticket.id, Interval(start, end))
        spans = tuple(ticket.timeline.spans)
        submitted_s = ticket.timeline.submitted
        return Image(pixels, data, request.format, recipe, self.provenance, spans, submitted_s)
